import { type ContextId, type SessionKey, sessionKeyText } from '../../../domain/identifiers.ts';
import { CorruptRecord, openRecord, type SealedRecord } from '../../../domain/record/record-codec.ts';
import { NewerRecord } from '../../../domain/record/record-version.ts';
import { sessionKeyOf } from '../../../domain/record/turn-record.ts';
import { HELD } from '../../held-elsewhere.ts';
import { rowWith, type SessionRow } from '../../session-row.ts';
import { UserBytes } from '../../user-bytes.ts';
import { type RowSeal, UNSEALED } from '../sealing/row-seal.ts';
import { type ConversationTables, type Held, NO_CONVERSATIONS } from './conversation-table.ts';
import { LevelDatabase, type LevelSnapshot, type Table, type TableForm } from './level-database.ts';
import { decodeRow } from './row-codec.ts';

export type RecordKey = [...SessionTableKey, turn: number, hash: string];
type SessionTableKey = [keygroup: string, userId: string, sessionId: string];
export type IndexKey = [atMs: number, ...SessionTableKey];
type OriginLogKey = [origin: string, incarnation: string, keygroup: string];

/** The tables of one database. */
export interface Tables extends ConversationTables {
  /** JSON values by name. */
  readonly meta: Table<[name: string], string>;
  /** One that cannot be opened reads as no bytes, which are no record. */
  readonly records: Table<RecordKey, Uint8Array>;
  readonly sessions: Table<SessionTableKey, Uint8Array>;
  /** Every session by when it expires. */
  readonly byExpiry: Table<IndexKey, Uint8Array>;
  /** Sessions that may be evicted, in that order: by who else holds them, then by when they were last used. */
  readonly byUse: Table<IndexKey, Uint8Array>;
  /** Records by who wrote them and in which order: the rest of the record's key. Empty unless the store replicates. */
  readonly log: Table<
    [...OriginLogKey, sequence: number],
    [userId: string, sessionId: string, turn: number, hash: string]
  >;
  /** Where in the log a record is, by its hash. */
  readonly positions: Table<[hash: string], [origin: string, incarnation: string, sequence: number]>;
  /** JSON; how far each log is settled. For an own log the last sequence given out, which outlives its records. */
  readonly cursors: Table<OriginLogKey, string>;
  /** Own records whose session was deleted and which something outside may still hold. */
  readonly deleted: Table<[keygroup: string, sequence: number], Uint8Array>;
  /** Through which sequence records of a log were evicted here, or not taken in. */
  readonly evicted: Table<OriginLogKey, number>;
  /** The rows that hold contents, as they lie in the database. */
  readonly asTheyLie: {
    readonly records: Table<RecordKey, Uint8Array>;
    readonly conversationsOf: Table<RecordKey, Uint8Array>;
  };
  /** As {@link LevelDatabase.rewrite}. */
  rewrite: LevelDatabase['rewrite'];
  /** As {@link LevelDatabase.write}. */
  write(ops: () => void): Promise<void>;
  atOnce<T>(look: (snapshot: LevelSnapshot) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Index entries are all key. */
export const NOTHING = new Uint8Array(0);

/** A tombstone has no turn: it is kept before the first. */
export const TOMBSTONE_TURN = 0;

/** Keygroups are of hex digits. */
export const AFTER_ALL_KEYGROUPS = '~';

const BYTES = { encode: (bytes: Uint8Array) => bytes, decode: (bytes: Uint8Array) => bytes };
const TEXT = {
  encode: (text: string): Uint8Array => Buffer.from(text),
  decode: (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(),
};

function json<Value>(): { encode: (value: Value) => Uint8Array; decode: (bytes: Uint8Array) => Value } {
  return {
    encode: (value) => TEXT.encode(JSON.stringify(value)),
    decode: (bytes) => JSON.parse(TEXT.decode(bytes)),
  };
}

/** Rows that hold what was said; one that cannot be opened decodes as `damaged`. */
function sealed<Value>(
  seal: RowSeal,
  { encode, decode }: { encode: (value: Value) => Uint8Array; decode: (bytes: Uint8Array) => Value },
  damaged: Value,
): Pick<TableForm<Value>, 'encode' | 'decode'> {
  return {
    encode: (value, key) => seal.seal(encode(value), key),
    decode: (bytes, key) => {
      const row = seal.open(bytes, key);
      return row === undefined ? damaged : decode(row);
    },
  };
}

/** Opens the database in `path`, and makes it where it is missing. Throws LevelDB's errors. */
export async function openTables(path: string, seal: RowSeal = UNSEALED): Promise<Tables> {
  const database = await LevelDatabase.open(path);
  const [records, conversationsOf] = [
    { prefix: 'r', shape: 'tttnt' },
    { prefix: 'o', shape: 'tttnt' },
  ];
  return {
    meta: database.table({ prefix: 'm', shape: 't', ...TEXT }),
    records: database.table({ ...records, ...sealed(seal, BYTES, NOTHING) }),
    sessions: database.table({ prefix: 's', shape: 'ttt', ...BYTES }),
    byExpiry: database.table({ prefix: 'e', shape: 'nttt', ...BYTES }),
    byUse: database.table({ prefix: 'u', shape: 'nttt', ...BYTES }),
    log: database.table({ prefix: 'l', shape: 'tttn', ...json<[string, string, number, string]>() }),
    positions: database.table({ prefix: 'p', shape: 't', ...json<[string, string, number]>() }),
    cursors: database.table({ prefix: 'c', shape: 'ttt', ...TEXT }),
    deleted: database.table({ prefix: 'x', shape: 'tn', ...BYTES }),
    evicted: database.table({ prefix: 'v', shape: 'ttt', ...json<number>() }),
    byConversation: database.table({ prefix: 'd', shape: 'tttntnt', ...BYTES }),
    conversationsOf: database.table({ ...conversationsOf, ...sealed(seal, json<Held>(), NO_CONVERSATIONS) }),
    digests: seal,
    asTheyLie: {
      records: database.table({ ...records, ...BYTES }),
      conversationsOf: database.table({ ...conversationsOf, ...BYTES }),
    },
    rewrite: (ranges) => database.rewrite(ranges),
    write: (ops) => database.write(ops),
    atOnce: (look) => database.atOnce(look),
    close: () => database.close(),
  };
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
  page: { readonly fromTurn?: number; readonly limit?: number; readonly at?: LevelSnapshot | undefined } = {},
): AsyncIterable<RecordKey> {
  const { fromTurn = TOMBSTONE_TURN, limit, at } = page;
  const within = tableKey(key);
  return tables.records.keys({ within, from: [...within, fromTurn], limit }, at);
}

/**
 * A session's records in turn order; each that cannot be read, damaged or written by a newer build, is left out and its
 * error given to `onUnreadable`.
 */
export async function readRecords(
  tables: Tables,
  key: SessionKey,
  {
    firstTurn,
    onUnreadable,
    at,
  }: {
    readonly firstTurn: number;
    readonly onUnreadable: (error: CorruptRecord | NewerRecord, turn: number) => void;
    readonly at?: LevelSnapshot | undefined;
  },
): Promise<SealedRecord[]> {
  const records: SealedRecord[] = [];
  const within = tableKey(key);
  for await (const entry of tables.records.entries({ within, from: [...within, firstTurn] }, at)) {
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

/** All of a session's records that can be read, tombstones first. */
export function readReadable(tables: Tables, key: SessionKey, at?: LevelSnapshot): Promise<SealedRecord[]> {
  return readRecords(tables, key, { firstTurn: TOMBSTONE_TURN, onUnreadable: () => {}, at });
}

/** What the table says of a session. A row that is damaged, or lost with its page, is made again from the records. */
export async function readRow(tables: Tables, key: SessionKey, at?: LevelSnapshot): Promise<SessionRow | undefined> {
  const bytes = tables.sessions.get(tableKey(key), at);
  const row = bytes && decodeRow(bytes);
  if (row !== undefined) return row;
  if (bytes !== undefined) return rebuiltRow(tables, key, at);
  for await (const _ of recordKeys(tables, key, { limit: 1, at })) return rebuiltRow(tables, key, at);
  return undefined;
}

/** What each user has. */
export async function userBytesIn(tables: Tables): Promise<UserBytes> {
  const users = new UserBytes();
  for await (const { key, value } of tables.sessions.entries({})) {
    users.count(sessionKeyFrom(key), undefined, decodeRow(value));
  }
  return users;
}

async function rebuiltRow(tables: Tables, key: SessionKey, at: LevelSnapshot | undefined): Promise<SessionRow> {
  const records = await readReadable(tables, key, at);
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
  heldElsewhere: HELD.byItsWriter,
};
