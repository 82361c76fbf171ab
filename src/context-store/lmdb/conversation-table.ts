import type { ContextId, SessionId, TurnNumber } from '../../domain/identifiers.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import { CONVERSATIONS_FOUND_MAX, type ConversationPlace, type WantedConversation } from '../conversation-index.ts';
import { digestsOf } from '../conversation-places.ts';
import type { Table } from './pending-writes.ts';
import type { RecordKey } from './tables.ts';

/** `recency` grows with age, so that the newest come first. */
export type ConversationKey = [
  keygroup: string,
  userId: string,
  digest: string,
  recency: number,
  sessionId: string,
  turn: number,
  hash: string,
];

type Held = [recency: number, ...digests: string[]];

/** The entries of records by conversation, and what has to be known to remove them when only a record's key is. */
export interface ConversationTables {
  readonly byConversation: Table<Uint8Array, ConversationKey>;
  /** Of each record that has any. */
  readonly conversationsOf: Table<Held, RecordKey>;
}

const NOTHING = new Uint8Array(0);

export function putConversations(tables: ConversationTables, { record }: SealedRecord, key: RecordKey): void {
  const digests = digestsOf(record);
  if (digests.length === 0) return;
  const held: Held = [Number.MAX_SAFE_INTEGER - record.writtenAtMs, ...digests];
  for (const entry of entriesOf(key, held)) tables.byConversation.put(entry, NOTHING);
  tables.conversationsOf.put(key, held);
}

export function removeConversations(tables: ConversationTables, key: RecordKey): void {
  const held = tables.conversationsOf.get(key);
  if (held === undefined) return;
  for (const entry of entriesOf(key, held)) tables.byConversation.remove(entry);
  tables.conversationsOf.remove(key);
}

export function findConversations(
  { byConversation }: ConversationTables,
  { keygroup, userId, digest }: WantedConversation,
): ConversationPlace[] {
  const start = [keygroup, userId, digest];
  const range = { start, end: [...start, Number.MAX_SAFE_INTEGER], limit: CONVERSATIONS_FOUND_MAX };
  return [...byConversation.getKeys(range)].map(([, , , , sessionId, turn, hash]) => ({
    sessionId: sessionId as SessionId,
    turn: turn as TurnNumber,
    contextId: hash as ContextId,
  }));
}

function entriesOf(
  [keygroup, userId, sessionId, turn, hash]: RecordKey,
  [recency, ...digests]: Held,
): ConversationKey[] {
  return digests.map((digest) => [keygroup, userId, digest, recency, sessionId, turn, hash]);
}
