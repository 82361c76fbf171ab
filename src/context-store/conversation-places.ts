import { compareUtf8 } from '../domain/bytes.ts';
import { type ConversationDigest, conversationsOf } from '../domain/record/conversation-digest.ts';
import type { SealedRecord } from '../domain/record/record-codec.ts';
import { CONVERSATIONS_FOUND_MAX, type ConversationPlace, type WantedConversation } from './conversation-index.ts';

interface HeldPlace extends ConversationPlace {
  readonly writtenAtMs: number;
}

/** What a {@link ConversationIndex} knows, in memory. */
export class ConversationPlaces {
  readonly #places = new Map<string, HeldPlace[]>();

  find(wanted: WantedConversation): readonly ConversationPlace[] {
    const places = this.#places.get(keyOf(wanted)) ?? [];
    return places.slice(0, CONVERSATIONS_FOUND_MAX).map(({ writtenAtMs: _, ...place }) => place);
  }

  add({ record, hash }: SealedRecord): void {
    if (record.kind !== 'turn') return;
    const { keygroup, userId, sessionId, turn, writtenAtMs } = record;
    for (const digest of digestsOf(record)) {
      const key = keyOf({ keygroup, userId, digest });
      const place = { sessionId, turn, contextId: hash, writtenAtMs };
      this.#places.set(key, [...(this.#places.get(key) ?? []), place].sort(newestFirst));
    }
  }

  remove({ record, hash }: SealedRecord): void {
    const { keygroup, userId } = record;
    for (const digest of digestsOf(record)) {
      const key = keyOf({ keygroup, userId, digest });
      const left = (this.#places.get(key) ?? []).filter(({ contextId }) => contextId !== hash);
      if (left.length === 0) this.#places.delete(key);
      else this.#places.set(key, left);
    }
  }
}

/** Each by which a record is found, once. */
export function digestsOf(record: SealedRecord['record']): readonly ConversationDigest[] {
  const conversations = conversationsOf(record);
  return conversations === undefined ? [] : [...new Set([conversations.asked, ...conversations.answered])];
}

function keyOf({ keygroup, userId, digest }: WantedConversation): string {
  return `${keygroup}\n${userId}\n${digest}`;
}

function newestFirst(a: HeldPlace, b: HeldPlace): number {
  return (
    b.writtenAtMs - a.writtenAtMs ||
    compareUtf8(a.sessionId, b.sessionId) ||
    a.turn - b.turn ||
    compareUtf8(a.contextId, b.contextId)
  );
}
