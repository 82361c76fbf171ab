import type { ExperimentTurn, SyncRow } from '../../experiments/rows/experiment-rows.ts';
import { type Arm, sessionOf } from '../source/panels.ts';
import { oneDecimal, wholeNumber } from './number-text.ts';
import type { Sessions } from './statistics.ts';

/** Something measured once a turn. */
export interface Metric {
  readonly id: string;
  /** On an axis, with its unit. */
  readonly label: string;
  readonly unit: string;
  /** Without its unit. */
  readonly text: (value: number) => string;
  /** How a change of it is put: "answers 3 % sooner". */
  readonly less: string;
  readonly more: string;
  readonly verb: string;
  /** After "no difference shown in". */
  readonly noun: string;
  /** Sessions with the value of this turn, or without `turn` of all their turns. */
  readonly sessions: (arm: Arm, turn?: number) => Sessions;
}

/** Of turns that were answered; times are left out where no model ran. */
function ofTurns(
  field: 'response_ms' | 'first_token_ms' | 'tokens_per_second' | 'request_bytes' | 'evaluated_tokens',
): Metric['sessions'] {
  const timed = field !== 'request_bytes' && field !== 'evaluated_tokens';
  return ({ turns, wholeSessions }, turn) =>
    bySession(
      (turn === undefined ? wholeSessions : turns).filter(
        (row) =>
          row.error === '' &&
          (turn === undefined || row.turn === turn) &&
          !(timed && row.labels.reply_source === 'transcript'),
      ),
      (row) => row[field],
    );
}

/** Those that were the first at their node, or at it again. */
function movesOf({ turns, wholeSessions }: Arm): Pick<Arm, 'turns' | 'wholeSessions'> {
  const hasMoved = ({ moved }: ExperimentTurn) => moved;
  return { turns: turns.filter(hasMoved), wholeSessions: wholeSessions.filter(hasMoved) };
}

/** Of what went between nodes: of a turn, or of each session as a whole. Several pairs of nodes are added up. */
function ofSyncs(field: 'wire_bytes' | 'payload_bytes'): Metric['sessions'] {
  return ({ syncs }, turn) => {
    const repeats = new Map<string, SyncRow[]>();
    for (const row of syncs) append(repeats, String(row.labels.repeat), row);
    return [...repeats.values()].map((rows) => {
      const values = rows.filter((row) => row.turn === (turn ?? null)).map((row) => row[field]);
      return values.length === 0 || values.includes(null) ? [] : [values.reduce<number>((sum, v) => sum + (v ?? 0), 0)];
    });
  };
}

function ofSyncTimes(field: 'append_ms' | 'arrive_ms'): Metric['sessions'] {
  return ({ syncs }, turn) => {
    const repeats = new Map<string, number[]>();
    for (const row of syncs) {
      const value = row[field];
      if (row.turn === null || value === null || (turn !== undefined && row.turn !== turn)) continue;
      append(repeats, String(row.labels.repeat), value);
    }
    return [...repeats.values()];
  };
}

const SOONER = { less: 'sooner', more: 'later' } as const;

const RESPONSE_MS: Metric = {
  id: 'response_ms',
  label: 'Response time (ms)',
  unit: 'ms',
  text: wholeNumber,
  ...SOONER,
  verb: 'answers',
  noun: 'response time',
  sessions: ofTurns('response_ms'),
};
const FIRST_TOKEN_MS: Metric = {
  ...RESPONSE_MS,
  id: 'first_token_ms',
  label: 'Time to first token (ms)',
  verb: 'begins to answer',
  noun: 'time to first token',
  sessions: ofTurns('first_token_ms'),
};
const FIRST_TOKEN_AFTER_MOVE_MS: Metric = {
  ...FIRST_TOKEN_MS,
  id: 'first_token_after_move_ms',
  label: 'Time to first token after a move (ms)',
  verb: 'begins to answer the turn after a move',
  noun: 'time to first token after a move',
  sessions: (arm, turn) => FIRST_TOKEN_MS.sessions({ ...arm, ...movesOf(arm) }, turn),
};
const TOKENS_PER_SECOND: Metric = {
  id: 'tokens_per_second',
  label: 'Tokens per second',
  unit: 'tokens/s',
  text: oneDecimal,
  less: 'fewer tokens per second',
  more: 'more tokens per second',
  verb: 'writes',
  noun: 'tokens per second',
  sessions: ofTurns('tokens_per_second'),
};
const REQUEST_BYTES: Metric = {
  id: 'request_bytes',
  label: 'Request (bytes)',
  unit: 'bytes',
  text: wholeNumber,
  less: 'fewer request bytes',
  more: 'more request bytes',
  verb: 'needs',
  noun: 'request bytes',
  sessions: ofTurns('request_bytes'),
};
const EVALUATED_TOKENS: Metric = {
  ...REQUEST_BYTES,
  id: 'evaluated_tokens',
  label: 'Token ids evaluated',
  unit: 'ids',
  less: 'fewer ids evaluated',
  more: 'more ids evaluated',
  verb: 'needs',
  noun: 'ids evaluated',
  sessions: ofTurns('evaluated_tokens'),
};
const SYNC_BYTES: Metric = {
  id: 'sync_bytes',
  label: 'Between nodes (bytes)',
  unit: 'bytes',
  text: wholeNumber,
  less: 'fewer bytes between nodes',
  more: 'more bytes between nodes',
  verb: 'sends',
  noun: 'bytes between nodes',
  sessions: ofSyncs('wire_bytes'),
};
const SYNC_PAYLOAD_BYTES: Metric = {
  ...SYNC_BYTES,
  id: 'sync_payload_bytes',
  label: 'Between nodes, payload (bytes)',
  less: 'fewer payload bytes between nodes',
  more: 'more payload bytes between nodes',
  noun: 'payload bytes between nodes',
  sessions: ofSyncs('payload_bytes'),
};
const ARRIVE_MS: Metric = {
  id: 'arrive_ms',
  label: 'Until the other node has it (ms)',
  unit: 'ms',
  text: oneDecimal,
  ...SOONER,
  verb: 'arrives',
  noun: 'time until the other node has a turn',
  sessions: ofSyncTimes('arrive_ms'),
};
const APPEND_MS: Metric = {
  ...ARRIVE_MS,
  id: 'append_ms',
  label: 'Until durable here (ms)',
  verb: 'is durable',
  noun: 'time until a turn is durable',
  sessions: ofSyncTimes('append_ms'),
};

export const METRICS = {
  response_ms: RESPONSE_MS,
  first_token_ms: FIRST_TOKEN_MS,
  first_token_after_move_ms: FIRST_TOKEN_AFTER_MOVE_MS,
  tokens_per_second: TOKENS_PER_SECOND,
  request_bytes: REQUEST_BYTES,
  evaluated_tokens: EVALUATED_TOKENS,
  sync_bytes: SYNC_BYTES,
  sync_payload_bytes: SYNC_PAYLOAD_BYTES,
  append_ms: APPEND_MS,
  arrive_ms: ARRIVE_MS,
} as const;

/** Whether any row has it. */
export function isMeasured(metric: Metric, arms: readonly Arm[]): boolean {
  return arms.some((arm) => metric.sessions(arm).some(({ length }) => length > 0));
}

function bySession(
  rows: readonly ExperimentTurn[],
  valueIn: (row: ExperimentTurn) => number | null,
): readonly (readonly number[])[] {
  const sessions = new Map<string, number[]>();
  for (const row of rows) {
    const value = valueIn(row);
    if (value !== null) append(sessions, sessionOf(row), value);
  }
  return [...sessions.values()];
}

function append<T>(groups: Map<string, T[]>, key: string, value: T): void {
  const group = groups.get(key);
  if (group === undefined) groups.set(key, [value]);
  else group.push(value);
}
