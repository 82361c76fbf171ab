import type { ContextId, SessionId, TurnNumber } from '../../domain/identifiers.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import { CONVERSATIONS_FOUND_MAX, type ConversationPlace, type WantedConversation } from '../conversation-index.ts';
import { digestsOf } from '../conversation-places.ts';
import type { Table } from './level-database.ts';
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

export type Held = [recency: number, ...digests: string[]];

/** The entries of records by conversation, and what has to be known to remove them when only a record's key is. */
export interface ConversationTables {
  readonly byConversation: Table<ConversationKey, Uint8Array>;
  /** Of each record that has any. */
  readonly conversationsOf: Table<RecordKey, Held>;
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

export async function findConversations(
  { byConversation }: ConversationTables,
  { keygroup, userId, digest }: WantedConversation,
): Promise<ConversationPlace[]> {
  const places: ConversationPlace[] = [];
  const range = { within: [keygroup, userId, digest], limit: CONVERSATIONS_FOUND_MAX };
  for await (const [, , , , sessionId, turn, hash] of byConversation.keys(range))
    places.push({
      sessionId: sessionId as SessionId,
      turn: turn as TurnNumber,
      contextId: hash as ContextId,
    });
  return places;
}

function entriesOf(
  [keygroup, userId, sessionId, turn, hash]: RecordKey,
  [recency, ...digests]: Held,
): ConversationKey[] {
  return digests.map((digest) => [keygroup, userId, digest, recency, sessionId, turn, hash]);
}
