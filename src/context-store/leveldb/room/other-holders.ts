import type { ContextId, KeygroupId } from '../../../domain/identifiers.ts';
import type { Held } from '../../held-elsewhere.ts';
import { logText, type OriginLog, readPosition } from '../log/origin-log.ts';
import type { RecordKey, Tables } from '../tables/tables.ts';

/** The records of one log that a session has here lie between these. */
export interface LogSpan {
  readonly log: OriginLog;
  readonly first: number;
  readonly last: number;
}

/** A session of which every record is logged. */
export interface LoggedSession {
  readonly spans: readonly LogSpan[];
  /** Of its last record. */
  readonly writer: OriginLog;
}

/** A node had no room for some records of a log up to `through`, or did not take them in: none up to there can be counted on at it. */
export interface EvictedLog {
  readonly log: OriginLog;
  readonly through: number;
}

/** The nodes that a store shares with. */
export interface OtherHolders {
  /** Whether there are any. */
  readonly areThere: boolean;
  held(session: LoggedSession): Held;
  /** Room is short: what they hold will be looked at soon. */
  ask(): void;
  /** This is evicted here, and that is durable. */
  tellEvicted(logs: readonly EvictedLog[]): void;
}

/** Where a session's records, given in turn order, are logged; `undefined` where one of them is in no log, or there is none. */
export function loggedSession(tables: Tables, records: readonly RecordKey[]): LoggedSession | undefined {
  const spans = new Map<string, LogSpan>();
  let writer: OriginLog | undefined;
  for (const [keygroup, , , , hash] of records) {
    const position = readPosition(tables, hash as ContextId, keygroup as KeygroupId);
    if (position === undefined) return undefined;
    const { log, sequence } = position;
    const { first, last } = spans.get(logText(log)) ?? { first: sequence, last: sequence };
    spans.set(logText(log), { log, first: Math.min(first, sequence), last: Math.max(last, sequence) });
    writer = log;
  }
  return writer && { spans: [...spans.values()], writer };
}
