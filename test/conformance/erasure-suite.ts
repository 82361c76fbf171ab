import { describe, expect, test } from 'vitest';
import { SESSIONS_REMOVED_MAX } from '../../src/context-store/store-limits.ts';
import { DOCUMENTS_KEYGROUP, KINDS_ABOUT_USERS } from '../../src/domain/cluster/documents.ts';
import type { SessionKey, UserId } from '../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import {
  HOUR_MS,
  KEYGROUP,
  knowing,
  sealedErasure,
  sealedTombstone,
  sealedTurn,
  sessionKey,
  WRITTEN_AT_MS,
} from '../../tools/turn-records.ts';
import type { StoreUnderTest } from './conversation-index-suite.ts';

const USER = 'user' as UserId;
const SEVERAL = 'ffeeddccbbaa0099';
const refused = { code: 'session_deleted' };

/** What an erasure is of goes, and comes in no more; nothing else does either. */
export function erasureSuite({ store, reopen, ifPersistent }: StoreUnderTest): void {
  describe('an erased user', () => {
    const hashes = async (key: SessionKey) => (await store().read(key))?.records.map(({ hash }) => hash);
    const append = async (...records: SealedRecord[]) => {
      for (const sealed of records) await store().append(sealed);
    };
    async function eraseAll(): Promise<number> {
      let sessions = 0;
      let after: SessionKey | undefined;
      do {
        const page = await store().erase(USER, after);
        sessions += page.sessions;
        after = page.next;
      } while (after !== undefined);
      return sessions;
    }

    test('has nothing left in any keygroup, and others have all that is theirs', async () => {
      const gone = ['a', 'b'].flatMap((id) => [sessionKey(id), sessionKey(id, 'user', SEVERAL)]);
      gone.push(sessionKey('user', 'user-preferences', DOCUMENTS_KEYGROUP));
      const others = [
        sessionKey('a', 'users'),
        sessionKey('a', 'use'),
        sessionKey('other', 'user-preferences', DOCUMENTS_KEYGROUP),
        sessionKey('user', 'api-key', DOCUMENTS_KEYGROUP),
      ];
      await append(
        ...[...gone, ...others].map((key) => sealedTurn({ key })),
        sealedTombstone({ key: sessionKey('c') }),
      );
      const removed: SessionKey[] = [];
      store().onRemoved((key) => removed.push(key));
      await append(sealedErasure());
      expect(await eraseAll()).toBe(gone.length + 1);
      for (const key of [...gone, sessionKey('c')]) expect(await store().read(key)).toBeUndefined();
      for (const key of others) expect(await hashes(key)).toEqual([sealedTurn({ key }).hash]);
      expect(removed).toHaveLength(gone.length + 1);
      expect((await store().status()).sessions).toBe(others.length);
      expect(await eraseAll()).toBe(0);
      await store().wipeErased(USER);
    });

    test('gets nothing back from a writer that has not heard of it, whatever time that writes', async () => {
      await append(sealedErasure({ stamp: 5 }));
      const late = { writtenAtMs: WRITTEN_AT_MS + HOUR_MS };
      await expect(store().append(sealedTurn(late))).rejects.toMatchObject(refused);
      await expect(store().append(sealedTombstone(late))).rejects.toMatchObject(refused);
      await expect(store().append(knowing(sealedTurn(late), 4))).rejects.toMatchObject(refused);
      expect(await store().read(sessionKey())).toBeUndefined();
      await append(knowing(sealedTurn({ writtenAtMs: WRITTEN_AT_MS - HOUR_MS }), 5));
      expect(await hashes(sessionKey())).toHaveLength(1);
    });

    test('may begin anew under the same ids, also before the erasure has come', async () => {
      const [before, second] = [sealedTurn({ variant: 1 }), sealedTurn({ turn: 2 })];
      const anew = knowing(sealedTurn({ variant: 2 }), 1);
      await append(before, second, anew, sealedErasure());
      expect(await eraseAll()).toBe(1);
      expect(await hashes(sessionKey())).toEqual([anew.hash]);
      expect(await eraseAll()).toBe(0);
      const next = knowing(sealedTurn({ parent: anew }), 1);
      await append(anew, next);
      expect(await hashes(sessionKey())).toEqual([anew.hash, next.hash]);
      expect((await store().status()).records).toBe(3);
      const { sessions } = await store().list({ keygroup: KEYGROUP, userId: USER, limit: 10, nowMs: WRITTEN_AT_MS });
      expect(sessions).toMatchObject([{ turns: 2, bytes: anew.bytes.length + next.bytes.length }]);
    });

    test('can be erased again, and then what was written between goes', async () => {
      await append(sealedErasure({ stamp: 1 }), knowing(sealedTurn(), 1));
      await append(sealedErasure({ stamp: 2, receiptId: 'cd'.repeat(16) }));
      expect(store().erasures.of(USER)).toHaveLength(2);
      expect(store().erasures.latest(USER)).toBe(2);
      expect(await eraseAll()).toBe(1);
      expect(await store().read(sessionKey())).toBeUndefined();
    });

    test('has any number of sessions, which go page by page', async () => {
      await Promise.all(Array.from({ length: 600 }, (_, i) => append(sealedTurn({ key: sessionKey(`s${i}`) }))));
      await append(sealedErasure());
      expect(await eraseAll()).toBe(600);
      expect((await store().status()).sessions).toBe(0);
    });

    test('has nothing left where a page ends between two documents', async () => {
      const sessions = Array.from({ length: SESSIONS_REMOVED_MAX - 1 }, (_, i) => sessionKey(`s${i}`));
      const documents = KINDS_ABOUT_USERS.map((kind) => sessionKey(USER, kind, DOCUMENTS_KEYGROUP));
      await Promise.all([...sessions, ...documents].map((key) => append(sealedTurn({ key }))));
      await append(sealedErasure());
      await eraseAll();
      for (const key of documents) expect(await store().read(key), key.userId).toBeUndefined();
    });

    test('is forgotten once no record of it can come', async () => {
      const erasure = sealedErasure();
      await append(erasure);
      await store().expire(erasure.record.expiresAtMs);
      expect(store().erasures.all).toEqual([]);
      await append(sealedTurn());
    });

    ifPersistent('is one after another start, too, and what was not removed before is', async () => {
      await append(sealedTurn(), sealedErasure());
      await reopen();
      expect(store().erasures.all).toMatchObject([{ userId: USER, stamp: 1 }]);
      await expect(store().append(sealedTurn({ variant: 7 }))).rejects.toMatchObject(refused);
      expect(await eraseAll()).toBe(1);
      await reopen();
      expect(await store().read(sessionKey())).toBeUndefined();
    });
  });
}
