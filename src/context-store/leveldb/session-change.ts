import type { ContextId, SessionKey } from '../../domain/identifiers.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import type { SessionRow } from '../session-row.ts';
import type { RecordKey } from './tables.ts';

/** A session before and after a group of work. */
export interface SessionChange {
  readonly key: SessionKey;
  readonly before: SessionRow | undefined;
  after: SessionRow | undefined;
  /** Records put by this group. */
  added: Map<ContextId, SealedRecord>;
  /** Its keys in the table, where they have been asked for. */
  held: readonly RecordKey[] | undefined;
  /** Its keys in the table that are removed: all, unless only what came before an erasure goes. */
  removed: readonly RecordKey[] | undefined;
}

export function changed({ before, after }: SessionChange): boolean {
  return before !== after;
}

export function live(row: SessionRow | undefined): number {
  return row === undefined || row.deleted ? 0 : 1;
}

/** The time in the index by use. A tombstone is not in it: evicted, it could not keep the session deleted. */
export function usedAt(row: SessionRow | undefined): number | undefined {
  return row === undefined || row.deleted ? undefined : row.lastUsedAtMs;
}
