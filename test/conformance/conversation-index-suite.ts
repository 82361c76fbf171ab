import { beforeEach, describe, expect, test } from 'vitest';
import type { ContextStore } from '../../src/context-store/context-store.ts';
import { CONVERSATIONS_FOUND_MAX } from '../../src/context-store/conversation-index.ts';
import type { UserId } from '../../src/domain/identifiers.ts';
import type { ConversationDigest } from '../../src/domain/record/conversation-digest.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import {
  KEYGROUP,
  sealedLine,
  sealedTombstone,
  sealedTurn,
  sessionKey,
  WRITTEN_AT_MS,
} from '../../tools/turn-records.ts';

/** What the conformance suite of stores offers its parts. */
export interface StoreUnderTest {
  readonly store: () => ContextStore;
  /** Another store, of limited size, in place of the open one. */
  reopen(bytesMax?: number): Promise<void>;
  readonly ifPersistent: (title: string, run: () => Promise<void>) => void;
}

const digest = (name: string) => Buffer.from(name.padEnd(16, '.')).toString('hex') as ConversationDigest;
const [ASKED, ANSWERED, THOUGHT, OTHER] = ['asked', 'answered', 'thought', 'other'].map(digest) as [
  ConversationDigest,
  ConversationDigest,
  ConversationDigest,
  ConversationDigest,
];

/** An entry must never outlive its record, nor a record be without its entries, whatever becomes of either. */
export function conversationIndexSuite({ store, reopen, ifPersistent }: StoreUnderTest): void {
  describe('found by its conversations', () => {
    const found = async (wanted: ConversationDigest, at: { userId?: string; keygroup?: string } = {}) => {
      const { userId = 'user', keygroup = KEYGROUP } = at;
      const query = { keygroup: keygroup as typeof KEYGROUP, userId: userId as UserId, digest: wanted };
      return (await store().conversations?.find(query)) ?? [];
    };
    const placeOf = ({ record, hash }: SealedRecord) => ({
      sessionId: record.sessionId,
      turn: record.kind === 'turn' ? record.turn : 0,
      contextId: hash,
    });

    beforeEach((context) => {
      if (store().conversations === undefined) context.skip('this store finds records by their session alone');
    });

    test('a record is found by each of them, once it is stored, and one without any by none', async () => {
      const sealed = sealedTurn({ conversations: [ASKED, ANSWERED, THOUGHT] });
      await store().append(sealed);
      await store().append(sealedTurn({ key: sessionKey('plain') }));
      for (const one of [ASKED, ANSWERED, THOUGHT]) expect(await found(one)).toEqual([placeOf(sealed)]);
      expect(await found(OTHER)).toEqual([]);
    });

    test('that is appended twice, or has one conversation twice: once', async () => {
      const sealed = sealedTurn({ conversations: [ASKED, ANSWERED, ANSWERED] });
      await store().append(sealed);
      await store().append(sealed);
      expect(await found(ANSWERED)).toEqual([placeOf(sealed)]);
    });

    test("never another user's, nor another keygroup's, though their names begin alike", async () => {
      const conversations = [ASKED, ANSWERED] as const;
      const mine = sealedTurn({ conversations });
      const longer = sealedTurn({ key: sessionKey('session', 'user2'), conversations });
      const elsewhere = sealedTurn({ key: sessionKey('session', 'user', `${KEYGROUP.slice(0, -1)}b`), conversations });
      for (const sealed of [mine, longer, elsewhere]) await store().append(sealed);
      expect(await found(ANSWERED)).toEqual([placeOf(mine)]);
      expect(await found(ANSWERED, { userId: 'user2' })).toEqual([placeOf(longer)]);
      expect(await found(ANSWERED, { userId: 'use' })).toEqual([]);
      expect(await found(ANSWERED, { keygroup: elsewhere.record.keygroup })).toEqual([placeOf(elsewhere)]);
    });

    test('the newest first, then by session, and not more than there is a choice among', async () => {
      const conversations = [ASKED, ANSWERED] as const;
      const written = Array.from({ length: CONVERSATIONS_FOUND_MAX + 8 }, (_, at) =>
        sealedTurn({
          key: sessionKey(`s${String(at).padStart(3, '0')}`),
          writtenAtMs: WRITTEN_AT_MS + Math.floor(at / 2),
          conversations,
        }),
      );
      for (const sealed of [...written.slice(7), ...written.slice(0, 7)]) await store().append(sealed);
      const order = written
        .map(placeOf)
        .map((place, at) => ({ place, age: -Math.floor(at / 2), at }))
        .sort((a, b) => a.age - b.age || a.at - b.at)
        .map(({ place }) => place);
      expect(await found(ANSWERED)).toEqual(order.slice(0, CONVERSATIONS_FOUND_MAX));
    });

    test('of branches, and of turns of one session, each', async () => {
      const first = sealedTurn({ conversations: [ASKED, OTHER] });
      const branches = [1, 2].map((variant) =>
        sealedTurn({
          parent: first,
          variant,
          writtenAtMs: WRITTEN_AT_MS + variant,
          conversations: [THOUGHT, ANSWERED],
        }),
      );
      for (const sealed of [first, ...branches]) await store().append(sealed);
      expect(await found(ANSWERED)).toEqual(branches.map(placeOf).reverse());
      expect(await found(OTHER)).toEqual([placeOf(first)]);
    });

    test('no more once its session is deleted, nor a turn that comes after that', async () => {
      const [kept, gone] = ['kept', 'session'].map((id) =>
        sealedTurn({ key: sessionKey(id), conversations: [ASKED, ANSWERED] }),
      ) as [SealedRecord, SealedRecord];
      await store().append(kept);
      await store().append(gone);
      await store().append(sealedTombstone());
      await store()
        .append(sealedTurn({ parent: gone, conversations: [ANSWERED] }))
        .catch(() => {});
      expect(await found(ANSWERED)).toEqual([placeOf(kept)]);
      expect(await found(ASKED)).toEqual([placeOf(kept)]);
    });

    test('no more once its session has expired, and again when it is written anew', async () => {
      const options = { expiresAtMs: WRITTEN_AT_MS + 1, conversations: [ASKED, ANSWERED] } as const;
      for (const sealed of sealedLine(3, options)) await store().append(sealed);
      await store().expire(WRITTEN_AT_MS + 1);
      expect(await found(ANSWERED)).toEqual([]);
      const again = sealedTurn({ conversations: [ANSWERED] });
      await store().append(again);
      expect(await found(ANSWERED)).toEqual([placeOf(again)]);
      expect(await found(ASKED)).toEqual([]);
    });

    test('that is expired and written in one moment: only what is written', async () => {
      await store().append(sealedTurn({ expiresAtMs: WRITTEN_AT_MS + 1, conversations: [ASKED, OTHER] }));
      const again = sealedTurn({ variant: 2, conversations: [ASKED, ANSWERED] });
      await Promise.all([store().expire(WRITTEN_AT_MS + 1), store().append(again)]);
      expect(await found(ASKED)).toEqual([placeOf(again)]);
      expect(await found(OTHER)).toEqual([]);
    });

    test('no more once its session was evicted', async () => {
      await reopen(3_200);
      for (const id of ['a', 'b', 'c', 'd', 'e']) {
        await store().append(sealedTurn({ key: sessionKey(id), replyTokens: 500, conversations: [ASKED, ANSWERED] }));
      }
      const places = await found(ANSWERED);
      expect(places.length).toBeLessThan(5);
      for (const { sessionId, contextId } of places) {
        const held = await store().read(sessionKey(sessionId));
        expect(held?.records.map(({ hash }) => hash)).toEqual([contextId]);
      }
    });

    ifPersistent('after close and open', async () => {
      const sealed = sealedTurn({ conversations: [ASKED, ANSWERED] });
      await store().append(sealed);
      await reopen();
      expect(await found(ANSWERED)).toEqual([placeOf(sealed)]);
      await store().append(sealedTombstone());
      await reopen();
      expect(await found(ANSWERED)).toEqual([]);
    });

    test('or fails, when the store is closed, and never looks empty', async () => {
      await store().append(sealedTurn({ conversations: [ASKED, ANSWERED] }));
      await store().close();
      await expect(found(ANSWERED)).rejects.toMatchObject({ code: 'store_unavailable' });
    });
  });
}
