import { join } from 'node:path';
import { open } from 'lmdb';
import { type ContextId, type SessionKey, sessionKeyText } from '../../domain/identifiers.ts';
import { CorruptRecord, openRecord, type SealedRecord } from '../../domain/record/record-codec.ts';
import { NewerRecord } from '../../domain/record/record-version.ts';
import { sessionKeyOf } from '../../domain/record/turn-record.ts';
import { rowWith, type SessionRow } from '../session-row.ts';
import type { ConversationKey, ConversationTables } from './conversation-table.ts';
import { DataRoom } from './data-room.ts';
import { largest, pagesNeeded, type TreeStats } from './pages-needed.ts';
import { PendingWrites, type Table } from './pending-writes.ts';
import { decodeRow } from './row-codec.ts';

export type RecordKey = [...SessionTableKey, turn: number, hash: string];
type SessionTableKey = [keygroup: string, userId: string, sessionId: string];
type IndexKey = [atMs: number, ...SessionTableKey];
type OriginLogKey = [origin: string, incarnation: string, keygroup: string];

/** The tables of one LMDB environment. Everything is read synchronously, from memory-mapped pages. */
export interface Tables extends ConversationTables {
  /** JSON values by name. */
  readonly meta: Table<string, string>;
  readonly records: Table<Uint8Array, RecordKey>;
  readonly sessions: Table<Uint8Array, SessionTableKey>;
  /** Every session by when it expires. */
  readonly byExpiry: Table<Uint8Array, IndexKey>;
  /** Sessions that may be evicted, by when they were last used. */
  readonly byUse: Table<Uint8Array, IndexKey>;
  /** Records by who wrote them and in which order: the rest of the record's key. Empty unless the store replicates. */
  readonly log: Table<[userId: string, sessionId: string, turn: number, hash: string], [...OriginLogKey, number]>;
  /** Where in the log a record is, by its hash. */
  readonly positions: Table<[origin: string, incarnation: string, sequence: number], string>;
  /** JSON; how far each log is settled. For an own log the last sequence given out, which outlives its records. */
  readonly cursors: Table<string, OriginLogKey>;
  /**
   * Everything put and removed in `ops` becomes durable at once, or nothing does. Resolves after fsync. Throws `store_unavailable`
   * before anything is written when the disk has no room for it, and lmdb's errors.
   */
  write(ops: () => void): Promise<void>;
  /** No write may be under way. */
  close(): Promise<void>;
}

/** As lmdb names it. */
export const DATA_FILE = 'data.mdb';

/** Index entries are all key. */
export const NOTHING = new Uint8Array(0);

/** A tombstone has no turn: it is kept before the first. */
export const TOMBSTONE_TURN = 0;
const TURN_END = 0x1_0000_0000;

/** Opens the environment in `path` and creates what is missing. Throws lmdb's errors. */
export function openTables(path: string): Tables {
  const environment = open<Uint8Array, string>({
    path,
    encoding: 'binary',
    // Commit and fsync in one step, as plain LMDB does: a failed fsync then leaves nothing behind that a later commit
    // could build on. With overlapping syncs it would, and one commit at a time gains nothing from them.
    overlappingSync: false,
    // With batching by event turn, lmdb makes a promise of its own for each turn; when a commit fails (disk full) and
    // nothing else happens to catch that one, it ends the process.
    eventTurnBatching: false,
  });
  const room = new DataRoom(join(path, DATA_FILE));
  const pending = new PendingWrites();
  // Of the others none has as many entries, nor as long ones.
  const records = environment.openDB<Uint8Array, RecordKey>('records', { encoding: 'binary' });
  // May have more entries than that: several of a record.
  const byConversation = environment.openDB<Uint8Array, ConversationKey>('byConversation', { encoding: 'binary' });
  return {
    meta: pending.table(environment.openDB('meta', { encoding: 'string' })),
    records: pending.table(records),
    sessions: pending.table(environment.openDB('sessions', { encoding: 'binary' })),
    byExpiry: pending.table(environment.openDB('byExpiry', { encoding: 'binary' })),
    byUse: pending.table(environment.openDB('byUse', { encoding: 'binary' })),
    log: pending.table(environment.openDB('log', { encoding: 'ordered-binary' })),
    positions: pending.table(environment.openDB('positions', { encoding: 'ordered-binary' })),
    cursors: pending.table(environment.openDB('cursors', { encoding: 'string' })),
    byConversation: pending.table(byConversation),
    conversationsOf: pending.table(environment.openDB('conversationsOf', { encoding: 'ordered-binary' })),
    async write(ops) {
      const writes = pending.collect(ops);
      const stats = largest(records.getStats() as TreeStats, byConversation.getStats() as TreeStats);
      const { pageSize, lastPageNumber } = stats;
      await room.require((lastPageNumber + 1) * pageSize, pagesNeeded(writes, stats) * pageSize);
      try {
        await environment.batch(writes.apply);
      } catch (error) {
        throw await commitError(error);
      }
    },
    async close() {
      await environment.close();
      await room.close();
    },
  };
}

/** lmdb rejects with a general error and keeps the reason in a promise inside it. */
async function commitError(error: unknown): Promise<unknown> {
  try {
    await (error as { commitError?: Promise<unknown> }).commitError;
  } catch (reason) {
    return reason;
  }
  return error;
}

export function tableKey(key: SessionKey): SessionTableKey {
  return [key.keygroup, key.userId, key.sessionId];
}

export function recordKey(sealed: SealedRecord): RecordKey {
  const { record } = sealed;
  const turn = record.kind === 'turn' ? record.turn : TOMBSTONE_TURN;
  return [record.keygroup, record.userId, record.sessionId, turn, sealed.hash];
}

export function sessionKeyFrom([keygroup, userId, sessionId]: SessionTableKey): SessionKey {
  return { keygroup, userId, sessionId } as SessionKey;
}

/** Keys of a session's records, tombstones first, then in turn order. */
export function recordKeys(
  tables: Tables,
  key: SessionKey,
  page: { readonly fromTurn?: number; readonly limit?: number } = {},
): Iterable<RecordKey> {
  const { fromTurn = TOMBSTONE_TURN, limit } = page;
  const range = { start: [...tableKey(key), fromTurn], end: [...tableKey(key), TURN_END] };
  return tables.records.getKeys(limit === undefined ? range : { ...range, limit });
}

/**
 * A session's records in turn order; each that cannot be read, damaged or written by a newer build, is left out and its
 * error given to `onUnreadable`.
 */
export function readRecords(
  tables: Tables,
  key: SessionKey,
  {
    firstTurn,
    onUnreadable,
  }: { firstTurn: number; onUnreadable: (error: CorruptRecord | NewerRecord, turn: number) => void },
): SealedRecord[] {
  const records: SealedRecord[] = [];
  const range = { start: [...tableKey(key), firstTurn], end: [...tableKey(key), TURN_END] };
  for (const entry of tables.records.getRange(range)) {
    const [, , , turn, hash] = entry.key;
    try {
      const sealed = openRecord(entry.value, hash as ContextId);
      // The hash covers the record and not the key it lies under: a damaged key must not show it in another session.
      if (sessionKeyText(sessionKeyOf(sealed.record)) !== sessionKeyText(key) || recordKey(sealed)[3] !== turn)
        throw new CorruptRecord('stored under another key');
      records.push(sealed);
    } catch (error) {
      if (!(error instanceof CorruptRecord || error instanceof NewerRecord)) throw error;
      onUnreadable(error, turn);
    }
  }
  return records;
}

/** What the table says of a session. A row that is damaged, or lost with its page, is made again from the records. */
export function readRow(tables: Tables, key: SessionKey): SessionRow | undefined {
  const bytes = tables.sessions.get(tableKey(key));
  if (bytes !== undefined) return decodeRow(bytes) ?? rebuiltRow(tables, key);
  for (const _ of recordKeys(tables, key)) return rebuiltRow(tables, key);
  return undefined;
}

function rebuiltRow(tables: Tables, key: SessionKey): SessionRow {
  const records = readRecords(tables, key, { firstTurn: TOMBSTONE_TURN, onUnreadable: () => {} });
  const row = records.reduceRight<SessionRow | undefined>(
    (row, sealed) => rowWith(row, sealed, sealed.record.writtenAtMs),
    undefined,
  );
  return row ?? NO_RECORD_READABLE;
}

/** A session of which nothing can be read is still there: absent, it would be opened anew. */
const NO_RECORD_READABLE: SessionRow = {
  records: 0,
  bytes: 0,
  turns: 0,
  mode: undefined,
  deleted: false,
  createdAtMs: 0,
  updatedAtMs: 0,
  expiresAtMs: 0,
  lastUsedAtMs: 0,
};
