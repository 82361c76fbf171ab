import type { ContextId, SessionId, TurnNumber } from '../../../domain/identifiers.ts';
import type { SealedRecord } from '../../../domain/record/record-codec.ts';
import { CONVERSATIONS_FOUND_MAX, type ConversationPlace, type WantedConversation } from '../../conversation-index.ts';
import { digestsOf } from '../../conversation-places.ts';
import type { RowSeal } from '../sealing/row-seal.ts';
import type { Table } from './level-database.ts';
import type { RecordKey } from './tables.ts';

/** `recency` grows with age, so that the newest come first. */
export type ConversationKey = [
  keygroup: string,
  userId: string,
  /** As {@link RowSeal} blinds it. */
  digest: string,
  recency: number,
  sessionId: string,
  turn: number,
  hash: string,
];

export type Held = [recency: number, ...digests: string[]];

/** Of a row that cannot be read. */
export const NO_CONVERSATIONS: Held = [0];

/** The entries of records by conversation, and what has to be known to remove them when only a record's key is. */
export interface ConversationTables {
  readonly byConversation: Table<ConversationKey, Uint8Array>;
  /** Of each record that has any. */
  readonly conversationsOf: Table<RecordKey, Held>;
  /** Digests of contents would tell who guesses these. */
  readonly digests: Pick<RowSeal, 'blind' | 'blindEach'>;
}

const NOTHING = new Uint8Array(0);

export function putConversations(tables: ConversationTables, { record }: SealedRecord, key: RecordKey): void {
  const digests = digestsOf(record);
  if (digests.length === 0) return;
  putHeld(tables, key, [Number.MAX_SAFE_INTEGER - record.writtenAtMs, ...digests]);
}

export function removeConversations(tables: ConversationTables, key: RecordKey): void {
  const held = tables.conversationsOf.get(key);
  if (held === undefined) return;
  removeEntries(tables, key, held);
  tables.conversationsOf.remove(key);
}

/** Puts a record's entries as they are written now in the place of those that it has. Nothing where its row cannot be read. */
export function rewriteConversations(tables: ConversationTables, key: RecordKey): void {
  const held = tables.conversationsOf.get(key);
  if (held === undefined || held.length === NO_CONVERSATIONS.length) return;
  removeEntries(tables, key, held);
  putHeld(tables, key, held);
}

export async function findConversations(
  { byConversation, digests }: ConversationTables,
  { keygroup, userId, digest }: WantedConversation,
): Promise<ConversationPlace[]> {
  const places: (ConversationPlace & { readonly recency: number })[] = [];
  const blinds = digests.blindEach(digest);
  for (const blind of blinds) {
    const range = { within: [keygroup, userId, blind], limit: CONVERSATIONS_FOUND_MAX };
    for await (const [, , , recency, sessionId, turn, hash] of byConversation.keys(range))
      places.push({
        recency,
        sessionId: sessionId as SessionId,
        turn: turn as TurnNumber,
        contextId: hash as ContextId,
      });
  }
  if (blinds.length > 1) places.sort((a, b) => a.recency - b.recency);
  return places.slice(0, CONVERSATIONS_FOUND_MAX).map(({ recency: _, ...place }) => place);
}

function putHeld(tables: ConversationTables, key: RecordKey, held: Held): void {
  for (const digest of digestsIn(held))
    tables.byConversation.put(entryOf(key, held, tables.digests.blind(digest)), NOTHING);
  tables.conversationsOf.put(key, held);
}

function removeEntries(tables: ConversationTables, key: RecordKey, held: Held): void {
  for (const digest of digestsIn(held))
    for (const blind of tables.digests.blindEach(digest)) tables.byConversation.remove(entryOf(key, held, blind));
}

function digestsIn([, ...digests]: Held): string[] {
  return digests;
}

function entryOf(
  [keygroup, userId, sessionId, turn, hash]: RecordKey,
  [recency]: Held,
  blind: string,
): ConversationKey {
  return [keygroup, userId, blind, recency, sessionId, turn, hash];
}
