import type { TurnRow } from './run-row.ts';

/** Medians over all users and repeats. `undefined` where no row has the number. */
export interface TurnSummary {
  /** `undefined`: over all turns. */
  readonly turn: number | undefined;
  /** Names of the nodes that answered it. */
  readonly nodes: readonly string[];
  readonly answered: number;
  readonly failed: number;
  readonly responseMs: number | undefined;
  readonly firstTokenMs: number | undefined;
  readonly tokensPerSecond: number | undefined;
  readonly requestBytes: number | undefined;
  readonly replyBytes: number | undefined;
  readonly cachedTokens: number | undefined;
  readonly evaluatedTokens: number | undefined;
  readonly replyTokens: number | undefined;
}

/** One summary a turn in order, then one over all. */
export function summarizeTurns(rows: readonly TurnRow[]): TurnSummary[] {
  const turns = [...new Set(rows.map(({ turn }) => turn))].sort((a, b) => a - b);
  return [
    ...turns.map((turn) =>
      summary(
        turn,
        rows.filter((row) => row.turn === turn),
      ),
    ),
    ...(rows.length === 0 ? [] : [summary(undefined, rows)]),
  ];
}

function summary(turn: number | undefined, rows: readonly TurnRow[]): TurnSummary {
  const answered = rows.filter(({ error }) => error === '');
  const of = (field: keyof TurnRow) =>
    median(answered.flatMap((row) => (row[field] === null ? [] : [Number(row[field])])));
  return {
    turn,
    nodes: [...new Set(rows.map(({ node }) => node))],
    answered: answered.length,
    failed: rows.length - answered.length,
    responseMs: of('response_ms'),
    firstTokenMs: of('first_token_ms'),
    tokensPerSecond: of('tokens_per_second'),
    requestBytes: of('request_bytes'),
    replyBytes: of('reply_bytes'),
    cachedTokens: of('cached_tokens'),
    evaluatedTokens: of('evaluated_tokens'),
    replyTokens: of('reply_tokens'),
  };
}

/** The middle value; of an even number of values the mean of the two in the middle. */
export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[sorted.length % 2 === 1 ? middle : middle - 1], sorted[middle]];
  return low === undefined || high === undefined ? undefined : (low + high) / 2;
}
