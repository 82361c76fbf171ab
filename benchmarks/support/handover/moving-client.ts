import { DiscedgeClient } from '../../../src/client/client.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { quantile, rounded } from '../statistics.ts';
import { SharingNodes } from './sharing-nodes.ts';
import { type TimedTurn, timedTurn } from './timed-turn.ts';

export const MOVING_CLIENT_COLUMNS = [
  ...['llm', 'client', 'turns', 'p50Ms', 'p99Ms', 'toStaying', 'waitedP50Ms', 'waitedP99Ms', 'evaluatedIds'],
] as const;

const TURNS_A_SESSION = 10;
const REPLY_TOKENS = 32;
const VARIANTS = ['stays', 'moves'] as const;
type Variant = (typeof VARIANTS)[number];

export type Row = Record<string, string | number>;

/**
 * What moving costs a client that does not pause: between two nodes, sessions that move with every turn and sessions that stay
 * alternate, at least `turns` turns of each. `llmFlags` say what their LLM Service is.
 */
export async function measureMovingClient(llm: string, llmFlags: readonly string[], turns: number): Promise<Row[]> {
  const folder = temporaryFolder();
  const nodes = new SharingNodes(folder.path);
  try {
    const urls = [(await nodes.add('a', llmFlags)).url, (await nodes.add('b', llmFlags)).url];
    await nodes.connected();
    await play(urls, TURNS_A_SESSION * 2);
    const samples = await play(urls, turns);
    const staying = median(samples.stays);
    return VARIANTS.map((variant) => {
      const waited = samples[variant].map(({ reply }) => reply.waitedMs);
      const evaluated = samples[variant].map(({ reply }) => reply.usage.evaluatedTokens);
      return {
        llm,
        client: variant,
        turns: samples[variant].length,
        p50Ms: rounded(median(samples[variant])),
        p99Ms: rounded(quantile(firstTexts(samples[variant]), 0.99)),
        toStaying: rounded(median(samples[variant]) / staying),
        waitedP50Ms: rounded(quantile(waited, 0.5)),
        waitedP99Ms: rounded(quantile(waited, 0.99)),
        evaluatedIds: Math.round(evaluated.reduce((sum, ids) => sum + ids, 0) / evaluated.length),
      };
    });
  } finally {
    await nodes.stop();
    folder.remove();
  }
}

/** In sessions of {@link TURNS_A_SESSION}; the first of a session has no turn before it. */
async function play(urls: readonly string[], turns: number): Promise<Record<Variant, TimedTurn[]>> {
  const samples: Record<Variant, TimedTurn[]> = { stays: [], moves: [] };
  const client = new DiscedgeClient({ nodes: urls });
  for (let round = 0; samples.stays.length < turns; round++) {
    for (const variant of VARIANTS) {
      const session = client.session({ turnOptions: { maxTokens: REPLY_TOKENS, temperature: 0 } });
      for (let turn = 1; turn <= TURNS_A_SESSION; turn++) {
        session.moveTo(urls[(round + (variant === 'moves' ? turn : 0)) % urls.length] as string);
        const sample = await timedTurn(session, `My name is Ada ${turn}.`);
        if (turn > 1) samples[variant].push(sample);
      }
    }
  }
  return samples;
}

function median(turns: readonly TimedTurn[]): number {
  return quantile(firstTexts(turns), 0.5);
}

function firstTexts(turns: readonly TimedTurn[]): number[] {
  return turns.map(({ firstTextMs }) => firstTextMs);
}
