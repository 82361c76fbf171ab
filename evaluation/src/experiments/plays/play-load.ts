import type { TurnRow } from '../../scenario/run-row.ts';
import { EXPERIMENT_FORMAT, type Percentiles } from '../rows/experiment-rows.ts';
import { startSite } from '../site/site.ts';
import type { LoadScript, PlayContext, PlayResult, PlaySpec } from './play.ts';
import { play, warmUp } from './play-conversation.ts';

/** Many users at once, each with a session; their turns and a row that sums them up. */
export async function playLoad(spec: PlaySpec, context: PlayContext): Promise<PlayResult> {
  const script = spec.script as LoadScript;
  const { users } = script.scenario;
  const site = await startSite(spec.site, context.site);
  try {
    await warmUp(site, script.mode, Math.min(users, spec.site.slots), context);
    // llama-server closes its side after every streamed reply; a client that does not expect it loses requests.
    const played = await play(site, script, context, { keepsConnections: !spec.site.bare });
    // How many turns a second an interrupted level brought, nobody knows.
    if (context.site.signal?.aborted) return played;
    const answered = played.turns.filter(({ error }) => error === '');
    const wallMs = played.wallMs;
    const turnsPerS = rounded((answered.length * 1000) / wallMs);
    context.append({
      kind: 'load',
      experiment_format: EXPERIMENT_FORMAT,
      at: new Date(context.site.clock.now()).toISOString(),
      labels: context.labels,
      users,
      turns_answered: played.turnsAnswered,
      turns_failed: played.turnsFailed,
      wall_ms: wallMs,
      turns_per_s: turnsPerS,
      reply_tokens_per_s: rounded((sum(answered, 'reply_tokens') * 1000) / wallMs),
      response_ms: percentiles(answered, 'response_ms'),
      first_token_ms: percentiles(answered, 'first_token_ms'),
      request_bytes: sum(answered, 'request_bytes'),
    });
    return { ...played, turnsPerS };
  } finally {
    await site.close();
  }
}

type Field = 'response_ms' | 'first_token_ms' | 'reply_tokens' | 'request_bytes';

function sum(rows: readonly TurnRow[], field: Field): number {
  return rows.reduce((total, row) => total + (row[field] ?? 0), 0);
}

function percentiles(rows: readonly TurnRow[], field: Field): Percentiles {
  const sorted = rows.flatMap((row) => (row[field] === null ? [] : [row[field]])).sort((a, b) => a - b);
  // Nearest rank: a value that was seen.
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
