import { isDocument } from '../../domain/cluster/documents.ts';
import type { ContextId, SessionKey } from '../../domain/identifiers.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import type { Held } from '../held-elsewhere.ts';
import type { SessionRow } from '../session-row.ts';
import { putConversations, removeConversations } from './tables/conversation-table.ts';
import { encodeRow } from './tables/row-codec.ts';
import { NOTHING, type RecordKey, recordKey, type Tables, tableKey } from './tables/tables.ts';

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

/** Puts and removes what follows from it, in every table; to be called while the tables are written. */
export function writeSession(tables: Tables, { key, before, after, added, removed }: SessionChange): void {
  const { records, sessions, byExpiry, byUse } = tables;
  const inTable = tableKey(key);
  for (const record of removed ?? []) {
    records.remove(record);
    removeConversations(tables, record);
  }
  for (const sealed of added.values()) {
    const inRecords = recordKey(sealed);
    records.put(inRecords, sealed.bytes);
    putConversations(tables, sealed, inRecords);
  }
  if (after === undefined) sessions.remove(inTable);
  else sessions.put(inTable, encodeRow(after));

  if (before?.expiresAtMs !== after?.expiresAtMs) {
    if (before !== undefined) byExpiry.remove([before.expiresAtMs, ...inTable]);
    if (after !== undefined) byExpiry.put([after.expiresAtMs, ...inTable], NOTHING);
  }
  const usedBefore = usedAt(key, before);
  const usedAfter = usedAt(key, after);
  if (usedBefore !== usedAfter) {
    if (usedBefore !== undefined) byUse.remove([usedBefore, ...inTable]);
    if (usedAfter !== undefined) byUse.put([usedAfter, ...inTable], NOTHING);
  }
}

export function live(row: SessionRow | undefined): number {
  return row === undefined || row.deleted ? 0 : 1;
}

/** Later than any use: all that others hold comes before all that they hold less well. */
const AFTER_ALL_USES_MS = 2 ** 50;

/** The part of the index by use that has the sessions that others hold so well; its end is the next one's start. */
export function partHeld(held: Held): { readonly start: number; readonly end: number } {
  return { start: held * AFTER_ALL_USES_MS, end: (held + 1) * AFTER_ALL_USES_MS };
}

/**
 * The place in the index by use. Neither a tombstone is in it, which could not keep the session deleted if it were evicted, nor a
 * document: nobody would fetch it, and its next version would be numbered as the first.
 */
export function usedAt(key: SessionKey, row: SessionRow | undefined): number | undefined {
  if (row === undefined || row.deleted || isDocument(key)) return undefined;
  return partHeld(row.heldElsewhere).start + row.lastUsedAtMs;
}
