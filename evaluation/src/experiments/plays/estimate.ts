import type { ExperimentModel } from '../experiment-model.ts';
import type { PlaySpec } from './play.ts';

/*
 * What plays are expected to take, from the size of the model alone; seen on two slow x86 cores, one of them computing.
 * Corrected while the experiment runs: it only has to tell minutes from hours.
 */
const START_MS = 2_500;
/** Page cache to KV cache, each node. */
const LOAD_BYTES_PER_MS = 1_000_000;
/** Each id written reads the whole model; each id read shares that with others of its batch. */
const DECODE_BYTES_PER_MS = 20_000_000;
const PREFILL_BYTES_PER_MS = 80_000_000;
const LEAST_TOKEN_MS = 0.7;
/** HTTP, disk, and the quiet moment in which bytes are counted. */
const TURN_MS = 50;
const QUIET_TURN_MS = 250;
const CHARS_A_TOKEN = 4.5;
const TEMPLATE_TOKENS = 12;
/** What several slots gain over one after the other, for each. */
const SLOT_GAIN = 0.5;

export function estimatedMs({ site, script }: PlaySpec, model: ExperimentModel): number {
  const startMs = START_MS + site.nodes * (model.bytes / LOAD_BYTES_PER_MS);
  if (script.kind === 'replication') return START_MS + script.turns * QUIET_TURN_MS;
  const { turns, users, repeats, maxTokens, thinkMs } = script.scenario;
  if (site.llmService === 'transcript') return START_MS + turns.length * QUIET_TURN_MS;
  const decodeMs = Math.max(LEAST_TOKEN_MS, model.bytes / DECODE_BYTES_PER_MS);
  const prefillMs = Math.max(LEAST_TOKEN_MS / 4, model.bytes / PREFILL_BYTES_PER_MS);
  const { afterTurn, countsSync } =
    script.kind === 'conversation' ? script : { afterTurn: 'nothing', countsSync: false };
  const losesCache = afterTurn !== 'nothing';
  const turnMs = TURN_MS + (countsSync ? QUIET_TURN_MS : 0) + (afterTurn === 'node-restarted' ? startMs : 0);
  const readingMs = ((turns.length - 1) * (thinkMs[0] + thinkMs[1])) / 2;
  let [sessionMs, context, node, elsewhere] = [readingMs, 0, turns[0]?.node, 0];
  for (const turn of turns) {
    const added = turn.message.length / CHARS_A_TOKEN + TEMPLATE_TOKENS;
    // At another node, what was said since the session was last there is new.
    if (turn.node !== node) [node, elsewhere] = [turn.node, context];
    sessionMs += turnMs + (added + (losesCache ? context : elsewhere)) * prefillMs + maxTokens * decodeMs;
    context += added + maxTokens;
    elsewhere = 0;
  }
  const atOnce = Math.min(users, site.slots);
  return startMs + (sessionMs * users * repeats) / (1 + (atOnce - 1) * SLOT_GAIN);
}

/** "40 s", "12 min", "3.5 h". */
export function roughly(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3_600).toFixed(1)} h`;
}
