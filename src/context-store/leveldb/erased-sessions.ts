import { DOCUMENTS_KEYGROUP, KINDS_ABOUT_USERS } from '../../domain/cluster/documents.ts';
import type { SessionId, SessionKey, UserId } from '../../domain/identifiers.ts';
import { ERASURES } from '../../domain/record/erasure.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import type { SessionRecord } from '../../domain/record/turn-record.ts';
import { ErasureMarks } from '../erasure-marks.ts';
import { RECORDS_REMOVED_MAX, SESSIONS_REMOVED_MAX } from '../store-limits.ts';
import type { TablePart } from './tables/level-database.ts';
import {
  AFTER_ALL_KEYGROUPS,
  type RecordKey,
  readReadable,
  recordKey,
  recordKeys,
  sessionKeyFrom,
  type Tables,
  tableKey,
} from './tables/tables.ts';

/** A session of an erased user. */
export interface ErasedSession {
  readonly key: SessionKey;
  /** Records that go: those that the erasure is of, and those that cannot be read. */
  readonly erased: readonly RecordKey[];
  readonly left: readonly SealedRecord[];
}

export interface ErasedSessions {
  readonly sessions: readonly ErasedSession[];
  /** To go on after; `undefined` where there is nothing more. */
  readonly next: SessionKey | undefined;
}

/** The user's next sessions and documents, of all keygroups. Bounded work. */
export async function pageOfUser(
  tables: Tables,
  {
    userId,
    after,
    isErased,
  }: {
    readonly userId: UserId;
    readonly after: SessionKey | undefined;
    readonly isErased: (record: SessionRecord) => boolean;
  },
): Promise<ErasedSessions> {
  const sessions: ErasedSession[] = [];
  let records = 0;
  for await (const key of keysOf(tables, userId, after)) {
    const session = await sessionOf(tables, key, isErased);
    sessions.push(session);
    records += session.erased.length + session.left.length;
    if (sessions.length >= SESSIONS_REMOVED_MAX || records >= RECORDS_REMOVED_MAX) return { sessions, next: key };
  }
  return { sessions, next: undefined };
}

async function sessionOf(
  tables: Tables,
  key: SessionKey,
  isErased: (record: SessionRecord) => boolean,
): Promise<ErasedSession> {
  const left = (await readReadable(tables, key)).filter(({ record }) => !isErased(record));
  const staying = new Set(left.map((sealed) => recordKey(sealed)[4]));
  const erased: RecordKey[] = [];
  for await (const recordKey of recordKeys(tables, key)) if (!staying.has(recordKey[4])) erased.push(recordKey);
  return { key, erased, left };
}

/** In the order of keygroups, and there of ids, or of kinds of documents. */
async function* keysOf(tables: Tables, userId: UserId, after: SessionKey | undefined): AsyncGenerator<SessionKey> {
  for await (const keygroup of keygroupsOf(tables)) {
    if (after !== undefined && keygroup < after.keygroup) continue;
    const isThere = keygroup === after?.keygroup;
    if (keygroup === DOCUMENTS_KEYGROUP) {
      const documents = KINDS_ABOUT_USERS.map((kind) => documentKey(kind, userId));
      // In the order of kinds, which a page goes on in.
      yield* documents.slice(isThere ? 1 + documents.findIndex(({ userId }) => userId === after.userId) : 0);
    } else {
      const range = { within: [keygroup, userId], ...(isThere && { after: tableKey(after) }) };
      for await (const key of tables.sessions.keys(range)) yield sessionKeyFrom(key);
    }
  }
}

function documentKey(kind: string, userId: UserId): SessionKey {
  return { keygroup: DOCUMENTS_KEYGROUP, userId: kind as UserId, sessionId: userId as string as SessionId };
}

/** Those that something is held of, served here now or not. */
async function* keygroupsOf(tables: Tables): AsyncGenerator<string> {
  let from: string[] = [];
  for (;;) {
    let found: string | undefined;
    for await (const [keygroup] of tables.sessions.keys({ from, limit: 1 })) found = keygroup;
    if (found === undefined) return;
    yield found;
    from = [followerOf(found)];
  }
}

/** What is held of erasures. */
export async function heldErasures(tables: Tables): Promise<ErasureMarks> {
  const marks = new ErasureMarks();
  for await (const key of tables.sessions.keys({ within: [DOCUMENTS_KEYGROUP, ERASURES] })) {
    const records = await readReadable(tables, sessionKeyFrom(key));
    for (const { record } of records) marks.note(record);
  }
  return marks;
}

/** Prefixes of the tables that have records, or ids of what they say, by session; and of those that have names alone. */
const BY_SESSION = ['r', 's', 'd', 'o'];
const OF_NAMES = ['e', 'u', 'l', 'p'];

/** No file of the database has what is removed of this user. */
export async function eraseFiles(tables: Tables, userId: UserId): Promise<void> {
  const parts: Omit<TablePart, 'prefix'>[] = [];
  let after: string[] = [];
  for await (const keygroup of keygroupsOf(tables)) {
    const owners = keygroup === DOCUMENTS_KEYGROUP ? KINDS_ABOUT_USERS : [userId];
    // Nothing lives between two keygroups, and there may be what was removed of a third.
    parts.push({ from: after, before: [keygroup] }, ...owners.map((owner) => ({ from: [keygroup, owner] })));
    after = [followerOf(keygroup)];
  }
  parts.push({ from: after, before: [AFTER_ALL_KEYGROUPS] });
  await tables.rewrite([
    ...OF_NAMES.map((prefix) => ({ prefix, from: [] })),
    ...BY_SESSION.flatMap((prefix) => parts.map((part) => ({ prefix, ...part }))),
  ]);
}

/** Comes after all keys that begin with this text, and before those of any other that comes after it. */
function followerOf(text: string): string {
  return `${text}\u0001`;
}
