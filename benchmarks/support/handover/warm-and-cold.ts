import { DiscedgeClient } from '../../../src/client/client.ts';
import { type NodeProcess, temporaryFolder } from '../../../tools/node-process.ts';
import { startLlamaServer } from '../../../tools/real-servers/llama-server.ts';
import { quantile, rounded } from '../statistics.ts';
import type { Row } from './moving-client.ts';
import { SharingNodes } from './sharing-nodes.ts';
import { textOfIds } from './text-of-ids.ts';
import { type TimedTurn, timedTurn } from './timed-turn.ts';
import { untilWarm } from './until-warm.ts';

export const WARM_AND_COLD_COLUMNS = [
  ...['llm', 'contextIds', 'turn', 'turns', 'firstTextMs', 'leastMs', 'mostMs', 'toStaying', 'evaluatedIds'],
  ...['cachedIds', 'warmedInMs'],
] as const;

const LLM_SERVICES = ['embedded', 'llama-server'] as const;
const KINDS = ['stays', 'warmed', 'cold'] as const;
type Kind = (typeof KINDS)[number];

/** Of the replies: what makes a turn one, and little more. */
const REPLY_TOKENS = 4;
/** Room for templates, questions and replies beside the longest context. */
const SPARE_TOKENS = 512;
const QUESTION = 'Which of these words came first, which came last, and how many of them were there in all?';

export interface WarmAndColdOptions {
  readonly modelPath: string;
  /** Ids of a context before the turn that is measured. */
  readonly sizes: readonly number[];
  readonly repeats: number;
}

/**
 * What it comes to, size by size. Time to first text of a turn that stays, of one at a node that has evaluated the context ahead, and of one at a node that has
 * not, at each size of context: three nodes share sessions; the first answers turns 1 and 2, the second, which warms all
 * that arrives, turn 3, and the last, which warms nothing, turn 4. Nothing else runs beside a turn that is measured.
 */
export async function* measureWarmAndCold(options: WarmAndColdOptions): AsyncGenerator<Row[]> {
  for (const llm of LLM_SERVICES) yield* measureWith(llm, options);
}

async function* measureWith(llm: (typeof LLM_SERVICES)[number], options: WarmAndColdOptions): AsyncGenerator<Row[]> {
  const folder = temporaryFolder();
  const nodes = new SharingNodes(folder.path);
  const closing: Array<() => Promise<unknown>> = [() => nodes.stop()];
  const { modelPath, sizes, repeats } = options;
  const contextTokens = Math.max(...sizes) + SPARE_TOKENS;
  const llmFlags = async () => {
    if (llm === 'embedded') {
      return [
        '--model',
        `handover=${modelPath}`,
        '--context-tokens',
        `${contextTokens}`,
        '--parallel',
        '2',
        '--threads',
        '1',
      ];
    }
    const server = await startLlamaServer({ modelPath, contextTokens, slots: 2 });
    closing.push(() => server.stop());
    return ['--llm', `handover=${server.url}`];
  };
  try {
    const add = async (id: string, warming: string) => nodes.add(id, [...(await llmFlags()), '--warming', warming]);
    const places: Places = { stays: await add('a', 'off'), warmed: await add('b', 'all'), cold: await add('c', 'off') };
    await nodes.connected();
    await converse(places, 64, 0);
    for (const size of sizes) {
      const taken: Conversation[] = [];
      for (let repeat = 1; repeat <= repeats; repeat++) taken.push(await converse(places, size, repeat));
      yield rowsOf(llm, size, taken);
    }
  } finally {
    for (const close of closing.reverse()) await close();
    folder.remove();
  }
}

type Places = Readonly<Record<Kind, NodeProcess>>;

interface Conversation extends Record<Kind, TimedTurn> {
  /** What evaluating the text ahead took, from the reply at the first node on: to be held against the turn that is not warmed. */
  readonly warmedMs: number;
}

/** One session: a text of about `size` ids, then a question at each place. */
async function converse(places: Places, size: number, seed: number): Promise<Conversation> {
  const client = new DiscedgeClient({ nodes: places.stays.url, silenceMs: 0 });
  const session = client.session({ turnOptions: { maxTokens: REPLY_TOKENS, temperature: 0 } });
  const text = await textOfIds(places.stays, size, seed);
  const ask = (kind: Kind) => {
    session.moveTo(places[kind].url);
    return timedTurn(session, QUESTION);
  };
  const { warmedMs } = await untilWarm(places.warmed, () => session.send(text));
  const { done: stays } = await untilWarm(places.warmed, () => ask('stays'));
  const warmed = await ask('warmed');
  const { done: cold } = await untilWarm(places.warmed, () => ask('cold'));
  return { stays, warmed, cold, warmedMs };
}

function rowsOf(llm: string, size: number, taken: readonly Conversation[]): Row[] {
  const staying = quantile(
    taken.map(({ stays }) => stays.firstTextMs),
    0.5,
  );
  return KINDS.map((kind) => {
    const times = taken.map((turns) => turns[kind].firstTextMs);
    const usages = taken.map((turns) => turns[kind].reply.usage);
    const firstTextMs = quantile(times, 0.5);
    const warmedInMs = quantile(
      taken.map(({ warmedMs }) => warmedMs),
      0.5,
    );
    return {
      llm,
      contextIds: size,
      turn: kind,
      turns: taken.length,
      firstTextMs: rounded(firstTextMs),
      leastMs: rounded(Math.min(...times)),
      mostMs: rounded(Math.max(...times)),
      toStaying: rounded(firstTextMs / staying),
      evaluatedIds: quantile(
        usages.map(({ evaluatedTokens }) => evaluatedTokens),
        0.5,
      ),
      cachedIds: quantile(
        usages.map(({ cachedTokens }) => cachedTokens),
        0.5,
      ),
      ...(kind === 'warmed' && { warmedInMs: rounded(warmedInMs) }),
    };
  });
}
