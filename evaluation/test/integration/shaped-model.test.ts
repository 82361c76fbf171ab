// Tries to make llama.cpp refuse what the generator writes, or its replies useless for timing: a small model of each type
// around the real vocabulary is loaded by the embedded LLM Service and by a stock llama-server that checks every block,
// must reply with words up to the limit, the same twice, and the words must survive being text. Sizes are held against
// what stock llama-quantize makes of the same shape. All of it through the command line, as a user would.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startEmbedded } from 'discedge/internal/llm-service/embedded';
import { connectLlamaServer } from 'discedge/internal/llm-service/llama-server';
import type { GenerationEnd, LlmService } from 'discedge/internal/llm-service/llm-service';
import { readGgufFileInfo } from 'node-llama-cpp';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { ensureServers } from '../../../tools/real-servers/install.ts';
import { startLlamaServer } from '../../../tools/real-servers/llama-server.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const run = promisify(execFile);
const CLI = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
const VOCABULARY = fileURLToPath(new URL('../../../test/data/qwen2-vocab.gguf.gz', import.meta.url));
const VOCABULARY_SIZE = 151_936;
const REPLY_TOKENS = 96;
const CONTEXT_TOKENS = 1_024;

/** Rows of 256 for q4_k, whose blocks are no shorter. */
const SHAPES = {
  f16: ['--layers', '2', '--hidden', '64', '--heads', '4', '--feed-forward', '96'],
  q8_0: ['--layers', '2', '--hidden', '64', '--heads', '4', '--kv-heads', '2', '--feed-forward', '96'],
  q4_k: ['--layers', '9', '--hidden', '256', '--heads', '4', '--feed-forward', '512'],
} as const;
const TYPES = Object.keys(SHAPES) as (keyof typeof SHAPES)[];

let folder: string;
/** What the command said of each. */
const told: Partial<Record<keyof typeof SHAPES, string>> = {};
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-shaped-'));
  for (const type of TYPES) told[type] = await make(type, modelOf(type), SHAPES[type]);
});
afterAll(() => rm(folder, { recursive: true }));

const modelOf = (type: string) => join(folder, `${type}.gguf`);

async function make(type: string, path: string, shape: readonly string[]): Promise<string> {
  const args = ['model', 'make', '--vocab', VOCABULARY, '--out', path, '--type', type, ...shape];
  return (await run(process.execPath, [CLI, ...args])).stdout;
}

async function reply(service: LlmService, message: string): Promise<GenerationEnd> {
  const text = `<|im_start|>user\n${message}<|im_end|>\n<|im_start|>assistant\n`;
  const prompt = await service.tokenize(text, { parseSpecial: true });
  const sampling = { temperature: 0, seed: 123 };
  const request = { prompt, maxTokens: REPLY_TOKENS, stop: [], sampling, affinity: undefined, stream: true };
  for await (const event of service.generate(request, new AbortController().signal)) {
    if (event.kind === 'end') return event;
  }
  throw new Error('no end');
}

const SERVICES = {
  embedded: (modelPath: string) =>
    startEmbedded({ modelPath, contextTokens: CONTEXT_TOKENS, parallel: 1, threads: 1 }, virtualEnvironment()),
  'llama-server': async (modelPath: string) => {
    const extraArgs = ['--check-tensors'];
    const server = await startLlamaServer({ modelPath, contextTokens: CONTEXT_TOKENS, slots: 1, extraArgs });
    onTestFinished(() => server.stop());
    const options = { url: server.url, connectTimeoutMs: 5_000, idleTimeoutMs: 60_000 };
    return connectLlamaServer(options, virtualEnvironment());
  },
};

describe.each(Object.entries(SERVICES))('in %s', (_, start) => {
  it.each(TYPES)('a model of type %s replies with words to the limit, the same in each run', async (type) => {
    const service = await start(modelOf(type));
    onTestFinished(() => service.close());
    expect(service.description).toMatchObject({
      vocabularySize: VOCABULARY_SIZE,
      contextTokens: CONTEXT_TOKENS,
      chatTemplate: expect.stringContaining('<|im_start|>'),
    });
    const first = await reply(service, 'What is SLAM?');
    expect(first.stop).toEqual({ kind: 'limit' });
    expect(first.exact).toBe(true);
    expect(first.ids).toHaveLength(REPLY_TOKENS);
    expect(first.text).toMatch(/^( [a-z]+)+$/);
    // Two bytes each in a turn record, as the ids of ordinary text have.
    expect(Math.max(...first.ids)).toBeLessThan(2 ** 14);
    expect(await service.tokenize(first.text, { parseSpecial: false })).toEqual([...first.ids]);
    expect((await reply(service, 'What is a PID controller?')).ids).not.toEqual(first.ids);

    // A run of its own: a cached prompt may round otherwise.
    const again = await start(modelOf(type));
    onTestFinished(() => again.close());
    expect((await reply(again, 'What is SLAM?')).ids).toEqual(first.ids);
  });
});

it('has the tensors, types and size of what llama-quantize makes', async () => {
  const { 'llama-quantize': program } = await ensureServers(['llama-quantize']);
  const source = join(folder, 'source.gguf');
  await make('f16', source, SHAPES.q4_k);
  const q8 = join(folder, 'direct-q8_0.gguf');
  await make('q8_0', q8, SHAPES.q4_k);
  for (const [direct, theirs] of [
    [q8, 'Q8_0'],
    [modelOf('q4_k'), 'Q4_K_M'],
  ] as const) {
    const quantized = join(folder, `quantized-${theirs}.gguf`);
    await run(program.command, [...program.argsPrefix, source, quantized, theirs, '1'], { env: { ...program.env } });
    expect(await tensorsOf(direct)).toEqual(await tensorsOf(quantized));
    expect((await stat(direct)).size).toBe((await stat(quantized)).size);
    expect((await readGgufFileInfo(direct)).metadata.general.file_type).toBe(
      (await readGgufFileInfo(quantized)).metadata.general.file_type,
    );
  }
});

async function tensorsOf(path: string): Promise<Record<string, string>> {
  const { tensorInfo = [] } = await readGgufFileInfo(path);
  return Object.fromEntries(
    tensorInfo.map(({ name, ggmlType, dimensions }) => [name, `type ${ggmlType}, ${dimensions.join(' × ')}`]),
  );
}

describe('the command', () => {
  const failure = (args: readonly string[]) =>
    run(process.execPath, [CLI, 'model', 'make', ...args]).then(
      () => expect.unreachable('it succeeded'),
      ({ code, stderr }: { code: number; stderr: string }) => ({ code, stderr }),
    );

  it('says what it made and what to do with it', () => {
    const path = modelOf('f16');
    expect(told.f16).toMatch(
      new RegExp(
        `^${path}: \\d+ MB, 20 million weights, 151936 ids, of which it says 4096\nNext: .*--model ${path}\n$`,
      ),
    );
  });

  it.each([
    [['--heads', '5'], 2, 'hidden (1024) must be a multiple of heads (5)'],
    [['--layers', 'many'], 2, 'It must be a whole number'],
    [['--shape', 'qwen1.5-0.5'], 2, 'did you mean qwen1.5-0.5b?'],
    [['--type', 'q5'], 2, 'Allowed choices are f16, q8_0, q4_k'],
    [['--vocab', 'none.gguf'], 1, 'vocabulary file none.gguf does not exist'],
    [['--out', fileURLToPath(import.meta.url)], 1, 'is there already'],
  ])('refuses %j with status %i', async (args, code, message) => {
    const given = ['--vocab', VOCABULARY, '--out', join(folder, 'refused.gguf'), '--layers', '1', ...args];
    const failed = await failure(given);
    expect(failed.stderr).toContain(message);
    expect(failed.code).toBe(code);
  });
});
