import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chooseWindow, type WindowAsked } from '../../src/llm-service/embedded/choose-window.ts';
import { type Evaluating, type MemoryPlan, planMemory } from '../../src/llm-service/embedded/memory-need.ts';
import { type ModelShape, writeGgufHeader } from '../../tools/gguf-header.ts';

export const GIB = 2 ** 30;

/** By default. */
const EVALUATING: Evaluating = { batchTokens: 256, flashAttention: 'auto' };

const shared = { headWidth: 128, kvHeads: 8, contextTokens: 131_072, vocabulary: 128_256 };
/** Shapes of models that people run on boards and laptops, with four bits a weight. */
const SHAPES: readonly ModelShape[] = [
  { ...shared, name: '0.3B', layers: 18, width: 1024, feedForward: 3072, heads: 16, kvHeads: 2, vocabulary: 103_424 },
  { ...shared, name: '1B', layers: 16, width: 2048, feedForward: 8192, heads: 32, headWidth: 64 },
  { ...shared, name: '3B', layers: 28, width: 3072, feedForward: 8192, heads: 24 },
  { ...shared, name: '8B', layers: 32, width: 4096, feedForward: 14_336, heads: 32 },
];

/** What llama.cpp plans for each of the shapes. */
export async function plannedShapes(): Promise<ReadonlyMap<string, MemoryPlan>> {
  const folder = await mkdtemp(join(tmpdir(), 'shapes-'));
  try {
    const plans = new Map<string, MemoryPlan>();
    for (const shape of SHAPES) {
      const path = join(folder, `${shape.name}.gguf`);
      await writeGgufHeader(path, shape);
      const plan = await planMemory(path, EVALUATING);
      if (plan === undefined) throw new Error(`llama.cpp does not plan a model of ${shape.name}`);
      // Planned while the file is there.
      const known = new Map<string, number>();
      for (const window of windowsOf(plan)) known.set(JSON.stringify(window), await plan.neededBytes(window));
      plans.set(shape.name, {
        ...plan,
        neededBytes: async ({ contextTokens, parallel }) =>
          known.get(JSON.stringify({ contextTokens, parallel })) as number,
      });
    }
    return plans;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function windowsOf({ trainedTokens }: MemoryPlan) {
  const windows: { contextTokens: number; parallel: number }[] = [];
  for (let contextTokens = trainedTokens; contextTokens >= 1024; contextTokens /= 2) {
    for (const parallel of [1, 2, 4, 8]) windows.push({ contextTokens, parallel });
  }
  return windows;
}

const AVAILABLE_GIB = [4, 8, 16, 64];

/** docs/memory.md, its table made with the code that chooses. */
export async function memoryDocument(): Promise<string> {
  const plans = await plannedShapes();
  const asked: WindowAsked = { contextTokens: undefined, parallel: undefined };
  const cell = async (plan: MemoryPlan, gib: number) => {
    const { contextTokens, parallel, fits } = await chooseWindow(asked, { plan, availableBytes: gib * GIB });
    return fits ? `${contextTokens.toLocaleString('en')} × ${parallel}` : 'too small';
  };
  const rows = await Promise.all(
    AVAILABLE_GIB.map(async (gib) => [
      `${gib} GiB`,
      ...(await Promise.all([...plans.values()].map((plan) => cell(plan, gib)))),
    ]),
  );
  return [
    '# Memory of an embedded model',
    '',
    'llama.cpp takes the memory of the whole context window for every turn at once when it starts. Where `context-tokens` and `parallel`',
    'are not set, the node asks llama.cpp what it plans for the model and takes what fits into three quarters of the memory that is available at the start, less',
    '`context-cache-bytes`: the longest window, by halves of the one that the model was trained with, with four turns at once; fewer turns',
    'rather than a window below 8,192 ids; then a shorter window. Available is what the system has left within the limit of its control',
    'group (a container), and with `--gpu` the free memory of GPUs. Several models get equal parts. `llm.window_chosen` in the log says what was',
    'chosen; `llm.memory_short` that not even the least fits, which is tried all the same. What is set is left as it is.',
    '',
    'Window × turns at once, of models trained with 131,072 ids at about four and a half bits a weight:',
    '',
    `| available | ${[...plans.keys()].join(' | ')} |`,
    `| --- | ${[...plans].map(() => '---').join(' | ')} |`,
    ...rows.map((row) => `| ${row.join(' | ')} |`),
    '',
  ].join('\n');
}
