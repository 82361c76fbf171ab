// What every ContextStore promises. Tries to make a store lose, mix, reorder or resurrect records: sessions, users and
// keygroups whose names begin alike, records out of order and twice, tombstones before and after, times that move,
// more than fits, damaged bytes, many writers at once, and use after close. Stores that persist are reopened.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ContextStore, SessionPage, SessionQuery, SessionSummary } from '../../src/context-store/context-store.ts';
import { DOCUMENTS_KEYGROUP } from '../../src/domain/cluster/documents.ts';
import type { KeygroupId, SessionKey, UserId } from '../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../src/domain/record/record-codec.ts';
import { sessionKeyOf } from '../../src/domain/record/turn-record.ts';
import { markUnsure } from '../../src/domain/record/unsure-time.ts';
import {
  HOUR_MS,
  KEYGROUP,
  sealedLine,
  sealedTombstone,
  sealedTurn,
  sessionKey,
  turnRecord,
  WRITTEN_AT_MS,
} from '../../tools/turn-records.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../tools/virtual-environment.ts';
import { conversationIndexSuite } from './conversation-index-suite.ts';
import { erasureSuite } from './erasure-suite.ts';

export type Damage = 'record flipped' | 'record lost' | 'row flipped' | 'row lost';

export interface ContextStoreSuiteOptions {
  /** `folder` is the test's own, and empty at first. */
  open(folder: string, environment: VirtualEnvironment, bytesMax: number): Promise<ContextStore>;
  /** Whether what was appended is there after close and open. */
  readonly persistent: boolean;
  /** Flips a bit in the stored form of a record or of its session's row, or loses it, while the store is closed. */
  readonly damage?: (folder: string, sealed: SealedRecord, what: Damage) => Promise<void>;
}

const PLENTY_BYTES = 1_000_000_000;
const NOW_MS = WRITTEN_AT_MS;

export function contextStoreSuite(name: string, options: ContextStoreSuiteOptions): void {
  const ifPersistent = (title: string, run: () => Promise<void>): void => {
    if (options.persistent) test(title, run);
    else test(title, (context) => context.skip(`${name} keeps nothing after close`));
  };
  const ifDamageable = (title: string, run: (damage: NonNullable<typeof options.damage>) => Promise<void>): void => {
    const { damage } = options;
    if (damage !== undefined) test(title, () => run(damage));
    else test(title, (context) => context.skip(`${name} keeps no bytes that could be damaged`));
  };

  describe(`${name} as a context store`, () => {
    let folder: string;
    let environment: VirtualEnvironment;
    let store: ContextStore;

    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'discedge-store-'));
      environment = virtualEnvironment({ startMs: NOW_MS });
      store = await options.open(folder, environment, PLENTY_BYTES);
    });
    afterEach(async () => {
      await store.close();
      await rm(folder, { recursive: true });
    });

    /** Another store, of limited size, in place of the open one. */
    async function reopen(bytesMax = PLENTY_BYTES): Promise<void> {
      await store.close();
      store = await options.open(folder, environment, bytesMax);
    }

    /** By the clock that uses are noted by, and no other: a real disk, writing at this moment, would seem to hang for hours. */
    const hoursPass = (hours: number) => environment.jump(hours * HOUR_MS);

    const appendAll = (records: readonly SealedRecord[]) => Promise.all(records.map((sealed) => store.append(sealed)));
    const hashes = (records: readonly SealedRecord[] | undefined) => records?.map((sealed) => sealed.hash);
    const stored = async (key: SessionKey = sessionKey()) =>
      hashes((await store.read(key))?.records.filter(({ record }) => record.kind === 'turn'));
    const page = (query: Partial<SessionQuery> = {}) =>
      store.list({ keygroup: KEYGROUP, limit: 100, nowMs: NOW_MS, ...query });
    const listed = async (query: Partial<SessionQuery> = {}) => (await page(query)).sessions;
    /** All pages, as they come. */
    async function pages(query: Partial<SessionQuery>): Promise<(readonly SessionSummary[])[]> {
      const all: (readonly SessionSummary[])[] = [];
      let next: SessionKey | undefined;
      do {
        const one: SessionPage = await page({ ...query, after: next });
        all.push(one.sessions);
        next = one.next;
      } while (next !== undefined);
      return all;
    }
    const sessionIds = (summaries: readonly SessionSummary[]) => summaries.map((summary) => summary.key.sessionId);

    describe('records', () => {
      test('are read as they were appended', async () => {
        const sealed = sealedTurn({ replyTokens: 300 });
        await store.append(sealed);
        const session = await store.read(sessionKey());
        expect(session).toMatchObject({ deleted: false, corrupt: 0 });
        expect(session?.records).toHaveLength(1);
        expect(session?.records[0]?.record).toEqual(sealed.record);
        expect(session?.records[0]?.hash).toBe(sealed.hash);
        expect(Buffer.from(session?.records[0]?.bytes ?? [])).toEqual(Buffer.from(sealed.bytes));
      });

      test('stay what they are when others are read and written after them', async () => {
        const [first, second] = [sealedTurn({ key: sessionKey('a') }), sealedTurn({ key: sessionKey('b') })];
        await appendAll([first, second]);
        const read = await store.read(sessionKey('a'));
        await store.read(sessionKey('b'));
        await store.append(sealedTurn({ key: sessionKey('c'), replyTokens: 900 }));
        expect(Buffer.from(read?.records[0]?.bytes ?? [])).toEqual(Buffer.from(first.bytes));
      });

      test('come in turn order, whatever order they were appended in', async () => {
        const line = sealedLine(12);
        for (const sealed of [...line].reverse()) await store.append(sealed);
        expect(await stored()).toEqual(hashes(line));
      });

      test('of two branches are all kept', async () => {
        const first = sealedTurn();
        const branches = [sealedTurn({ parent: first, variant: 1 }), sealedTurn({ parent: first, variant: 2 })];
        await appendAll([first, ...branches]);
        const [root, ...rest] = (await stored()) ?? [];
        expect(root).toBe(first.hash);
        expect(rest.sort()).toEqual(hashes(branches)?.sort());
      });

      test('appended twice are kept once, one after the other and at the same time', async () => {
        const sealed = sealedTurn();
        await appendAll([sealed, sealed]);
        await store.append(sealed);
        expect(await stored()).toEqual([sealed.hash]);
        expect(await store.status()).toMatchObject({ sessions: 1, records: 1, bytes: sealed.bytes.length });
      });

      test('nobody appended are absent', async () => {
        expect(await store.read(sessionKey())).toBeUndefined();
        expect(await listed()).toEqual([]);
        expect(await store.status()).toMatchObject({ sessions: 0, records: 0, bytes: 0 });
      });

      test('of hundreds of turns are all there', async () => {
        const line = sealedLine(400, { replyTokens: 100 });
        await appendAll(line);
        expect(await stored()).toEqual(hashes(line));
      });

      test('as large as a record can be are kept', async () => {
        const sealed = sealedTurn({ replyTokens: 2_000_000 });
        await store.append(sealed);
        expect(Buffer.compare((await store.read(sessionKey()))?.records[0]?.bytes ?? Buffer.of(), sealed.bytes)).toBe(
          0,
        );
      });
    });

    test('a session that no peer has stays absent, and whoever has left is told so, where peers can be asked', async (context) => {
      const fetch = store.sharing?.fetch?.bind(store.sharing);
      if (fetch === undefined) return context.skip(`${name} cannot ask peers for a session`);
      const gone = new AbortController();
      expect(await fetch(sessionKey(), { waitMs: 1000, signal: gone.signal })).toBe(0);
      expect(await store.read(sessionKey())).toBeUndefined();
      gone.abort(new Error('gone'));
      await expect(fetch(sessionKey(), { waitMs: 1000, signal: gone.signal })).rejects.toThrow('gone');
    });

    describe('names that begin alike', () => {
      const keys = [
        ['1', 'a'],
        ['10', 'a'],
        ['1/…', 'a'],
        ['1\u{1F916}', 'a'],
        ['1\uffee', 'a'],
        ['1', 'ab'],
        ['1', 'a\u00e9'],
        ['1', 'A'],
        ['b1', 'a'],
        [' 1', 'a'],
        ['true', 'null'],
        ['x'.repeat(128), 'y'.repeat(128)],
      ].map(([sessionId, userId]) => sessionKey(sessionId, userId));

      test('never share a record', async () => {
        const turns = keys.map((key, variant) => sealedTurn({ key, variant }));
        await appendAll(turns);
        for (const [i, key] of keys.entries()) expect(await stored(key)).toEqual([turns[i]?.hash]);
      });

      test('are deleted one at a time', async () => {
        const turns = keys.map((key, variant) => sealedTurn({ key, variant }));
        await appendAll(turns);
        await store.append(sealedTombstone({ key: keys[0] as SessionKey }));
        for (const [i, key] of keys.entries()) expect(await stored(key)).toEqual(i === 0 ? [] : [turns[i]?.hash]);
      });

      test('are listed in the order of their bytes, user before session', async () => {
        await appendAll(keys.map((key) => sealedTurn({ key })));
        const expected = [...keys].sort(
          (a, b) =>
            Buffer.compare(Buffer.from(a.userId), Buffer.from(b.userId)) ||
            Buffer.compare(Buffer.from(a.sessionId), Buffer.from(b.sessionId)),
        );
        expect((await listed()).map((summary) => summary.key)).toEqual(expected);
      });
    });

    test('another keygroup sees nothing', async () => {
      const other = sessionKey('session', 'user', '00112233445566ab');
      await store.append(sealedTurn());
      expect(await store.read(other)).toBeUndefined();
      expect(await listed({ keygroup: other.keygroup })).toEqual([]);
      await store.append(sealedTombstone({ key: other }));
      expect(await stored()).toHaveLength(1);
    });

    describe('a deleted session', () => {
      const onlyTombstones = (number: number) => ({
        ...{ deleted: true, corrupt: 0 },
        records: Array.from({ length: number }, () => ({ record: { kind: 'tombstone' } })),
      });

      test('has no turns, in reads, lists and sums', async () => {
        await appendAll(sealedLine(3));
        const tombstone = sealedTombstone();
        await store.append(tombstone);
        const read = { deleted: true, records: [{ hash: tombstone.hash, record: tombstone.record }], corrupt: 0 };
        expect(await store.read(sessionKey())).toMatchObject(read);
        expect(await listed()).toEqual([]);
        expect(await store.status()).toMatchObject({ sessions: 0, records: 1, bytes: tombstone.bytes.length });
      });

      test('takes no turn any more, known or new', async () => {
        const [first, second] = sealedLine(2) as [SealedRecord, SealedRecord];
        await store.append(first);
        await store.append(sealedTombstone());
        await expect(store.append(first)).rejects.toMatchObject({ code: 'session_deleted' });
        await expect(store.append(second)).rejects.toMatchObject({ code: 'session_deleted' });
        expect(await store.read(sessionKey())).toMatchObject(onlyTombstones(1));
      });

      test('takes no turn even when the tombstone came first', async () => {
        await store.append(sealedTombstone());
        await expect(store.append(sealedTurn())).rejects.toMatchObject({ code: 'session_deleted' });
        expect((await store.read(sessionKey()))?.deleted).toBe(true);
      });

      test('takes no turn that is written at the same moment', async () => {
        const [first, second] = sealedLine(2) as [SealedRecord, SealedRecord];
        const outcomes = await Promise.allSettled([
          store.append(first),
          store.append(sealedTombstone()),
          store.append(second),
        ]);
        expect(outcomes.map((outcome) => outcome.status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
        expect(await store.read(sessionKey())).toMatchObject(onlyTombstones(1));
        expect(await store.status()).toMatchObject({ sessions: 0, records: 1 });
      });

      test('can be deleted again, by the same tombstone and by another', async () => {
        const [one, other] = [sealedTombstone(), sealedTombstone({ writtenAtMs: WRITTEN_AT_MS + 5 })];
        await appendAll([one, one, other]);
        await store.append(one);
        expect(await store.status()).toMatchObject({ sessions: 0, records: 2 });
      });

      test('stays deleted until the latest expiry of its tombstones and of the turns they removed', async () => {
        const at = (hours: number) => NOW_MS + hours * HOUR_MS;
        await store.append(sealedTurn({ expiresAtMs: at(9) }));
        await store.append(sealedTombstone({ expiresAtMs: at(5) }));
        expect(await store.expire(at(8))).toBe(0);
        await expect(store.append(sealedTurn())).rejects.toMatchObject({ code: 'session_deleted' });
        expect(await store.expire(at(9))).toBe(1);
        expect(await store.read(sessionKey())).toBeUndefined();
        expect(await store.status()).toMatchObject({ sessions: 0, records: 0, bytes: 0 });
        await store.append(sealedTurn());
        expect(await stored()).toHaveLength(1);
      });
    });

    describe('expiry', () => {
      const at = (hours: number) => NOW_MS + hours * HOUR_MS;

      test('counts from when it came where the times of a record are unsure', async () => {
        const { record } = sealedTurn({ writtenAtMs: 1_000, expiresAtMs: 1_000 + HOUR_MS });
        const sealed = sealRecord({ ...record, ...markUnsure(true) });
        const cameAtMs = environment.clock.now();
        await store.append(sealed);
        expect((await store.read(sessionKey()))?.keptUntilMs).toBe(cameAtMs + HOUR_MS);
        expect(await store.expire(cameAtMs + HOUR_MS - 1)).toBe(0);
        expect(await store.expire(cameAtMs + HOUR_MS)).toBe(1);
      });

      test('removes one session alone where that is asked, if it has expired', async () => {
        const [over, other, living] = [sessionKey('over'), sessionKey('other'), sessionKey('living')];
        await store.append(sealedTurn({ key: over, expiresAtMs: at(1) }));
        await store.append(sealedTurn({ key: other, expiresAtMs: at(1) }));
        await store.append(sealedTurn({ key: living, expiresAtMs: at(2) }));
        expect(await store.expire(at(1), living)).toBe(0);
        expect(await store.expire(at(1), over)).toBe(1);
        expect(await store.expire(at(1), over)).toBe(0);
        expect(await store.read(over)).toBeUndefined();
        expect(await store.status()).toMatchObject({ sessions: 2, records: 2 });
        expect(await store.expire(at(1))).toBe(1);
        expect(await store.read(other)).toBeUndefined();
      });

      test('removes a session at the latest time that any of its records names, and not before', async () => {
        const [first, second, third] = sealedLine(3) as [SealedRecord, SealedRecord, SealedRecord];
        await store.append(sealedTurn({ expiresAtMs: at(1) }));
        await store.append(sealedTurn({ parent: first, expiresAtMs: at(9) }));
        await store.append(sealedTurn({ parent: second, expiresAtMs: at(2) }));
        expect(third).toBeDefined();
        expect(await store.expire(at(9) - 1)).toBe(0);
        expect(await stored()).toHaveLength(3);
        expect(await store.expire(at(9))).toBe(1);
        expect(await store.read(sessionKey())).toBeUndefined();
        expect(await store.status()).toMatchObject({ sessions: 0, records: 0, bytes: 0 });
        expect(await store.expire(at(1000))).toBe(0);
      });

      test('removes only what is expired', async () => {
        const hours = [5, 1, 4, 2, 3];
        await appendAll(hours.map((h) => sealedTurn({ key: sessionKey(`s${h}`), expiresAtMs: at(h) })));
        expect(await store.expire(at(3))).toBe(3);
        expect(sessionIds(await listed())).toEqual(['s4', 's5']);
      });

      test('is the only thing that removes: an expired session can still be read, but is not listed', async () => {
        await store.append(sealedTurn({ expiresAtMs: at(1) }));
        expect(await stored()).toHaveLength(1);
        expect(await listed({ nowMs: at(1) - 1 })).toHaveLength(1);
        expect(await listed({ nowMs: at(1) })).toEqual([]);
        expect((await store.status()).sessions).toBe(1);
      });

      test('lets the session begin anew', async () => {
        await store.append(sealedTurn({ expiresAtMs: at(1) }));
        await store.expire(at(1));
        await store.append(sealedTurn({ expiresAtMs: at(2), variant: 1 }));
        expect(await store.expire(at(1))).toBe(0);
        expect(await stored()).toEqual([sealedTurn({ expiresAtMs: at(2), variant: 1 }).hash]);
      });

      test('reaches every expired session in bounded steps', async () => {
        const sessions = 600;
        await appendAll(
          Array.from({ length: sessions }, (_, i) => sealedTurn({ key: sessionKey(`s${i}`), expiresAtMs: at(1) })),
        );
        let removed = 0;
        let steps = 0;
        for (let step = -1; step !== 0; steps++) {
          step = await store.expire(at(1));
          removed += step;
        }
        expect(removed).toBe(sessions);
        expect(steps).toBeGreaterThan(2);
      });

      test('and an append at the same moment agree on which came first', async () => {
        await store.append(sealedTurn({ expiresAtMs: at(1) }));
        const later = sealedTurn({ parent: sealedTurn({ expiresAtMs: at(1) }), expiresAtMs: at(5) });
        const [, removed] = await Promise.all([store.append(later), store.expire(at(2))]);
        expect(removed).toBe(0);
        expect(await stored()).toHaveLength(2);
      });
    });

    describe('eviction', () => {
      // Bytes of a record here: about 1,000.
      const large = (sessionId: string, variant = 0) =>
        sealedTurn({ key: sessionKey(sessionId), replyTokens: 500, variant });
      const recordBytes = large('s1').bytes.length;

      async function appendInTurn(...sessionIds: string[]): Promise<void> {
        for (const sessionId of sessionIds) {
          await store.append(large(sessionId));
          await environment.advance(1);
        }
      }

      test('removes the least recently written sessions, well below the limit, and counts them', async () => {
        await reopen(recordBytes * 10.5);
        await appendInTurn('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j');
        expect((await store.status()).evictedSessions).toBe(0);
        await appendInTurn('k');
        expect(sessionIds(await listed())).toEqual(['c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k']);
        // Shared with nobody, each of them is gone for good.
        const evicted = { evictedSessions: 2, evictedLastCopies: 2 };
        expect(await store.status()).toMatchObject({ sessions: 9, records: 9, ...evicted });
        expect(await store.read(sessionKey('a'))).toBeUndefined();
        const lines = environment.logLines.filter((line) => line.event === 'sessions_evicted');
        expect(lines.map(({ level, fields }) => [level, fields])).toEqual([
          ['warn', { sessions: 2, lastCopies: 2, bytes: (await store.status()).bytes }],
        ]);
      });

      test('takes nothing from a user who has no more than an equal part, however much another one writes', async () => {
        await reopen(recordBytes * 10.5);
        const of = (userId: string, sessionId: string) =>
          sealedTurn({ key: { ...sessionKey(sessionId), userId: userId as UserId }, replyTokens: 500 });
        for (const sessionId of ['1', '2', '3']) await store.append(of('ada', sessionId));
        for (let session = 0; session < 40; session++) {
          await environment.advance(1);
          await store.append(of('bob', `b${session}`));
        }
        for (const sessionId of ['1', '2', '3'])
          expect(await store.read({ ...sessionKey(sessionId), userId: 'ada' as UserId }), sessionId).toBeDefined();
        expect(await store.read({ ...sessionKey('b39'), userId: 'bob' as UserId })).toBeDefined();
        expect((await store.status()).bytes).toBeLessThanOrEqual(recordBytes * 10.5);
        // Once others are there, the part is smaller.
        for (const userId of ['carl', 'dora', 'emil', 'fred']) await store.append(of(userId, '1'));
        await store.append(of('emil', '2'));
        expect(await store.read({ ...sessionKey('1'), userId: 'dora' as UserId })).toBeDefined();
      });

      test('spares what was read lately', async () => {
        await reopen(recordBytes * 4.5);
        await appendInTurn('a', 'b', 'c', 'd');
        hoursPass(2);
        await store.read(sessionKey('a'));
        await environment.advance(1);
        await appendInTurn('e');
        expect(sessionIds(await listed())).toEqual(['a', 'c', 'd', 'e']);
      });

      test('never removes the session just written, not even when it alone is too large', async () => {
        await reopen(recordBytes * 1.5);
        await appendInTurn('z');
        await store.append(sealedTurn({ key: sessionKey('a'), replyTokens: 5_000 }));
        expect(sessionIds(await listed())).toEqual(['a']);
      });

      test('leaves tombstones: a deleted session does not come back', async () => {
        await reopen(recordBytes * 2.5);
        await store.append(sealedTombstone({ key: sessionKey('gone') }));
        await appendInTurn('a', 'b', 'c', 'd');
        await expect(store.append(large('gone'))).rejects.toMatchObject({ code: 'session_deleted' });
      });

      test('leaves documents of the cluster, which are nobody’s part of it and count in the size all the same', async () => {
        await reopen(recordBytes * 10.5);
        const of = (userId: string, sessionId: string, keygroup?: KeygroupId) =>
          sealedTurn({ key: sessionKey(sessionId, userId, keygroup), replyTokens: 500 });
        const documents = ['1', '2', '3', '4', '5', '6'].map((id) => of('user-preferences', id, DOCUMENTS_KEYGROUP));
        for (const document of documents) await store.append(document);
        await store.append(of('ada', '1'));
        for (let session = 0; session < 20; session++) {
          await environment.advance(1);
          await store.append(of('bob', `b${session}`));
        }
        for (const { record } of documents)
          expect((await store.read(record))?.records, record.sessionId).toHaveLength(1);
        expect(await store.read(sessionKey('1', 'ada'))).toBeDefined();
        const { sessions, bytes, evictedSessions } = await store.status();
        expect(bytes).toBeLessThanOrEqual(recordBytes * 10.5);
        expect(sessions + evictedSessions).toBe(27);
      });

      test('refuses a turn that continues a session which is gone: it could never be served', async () => {
        await reopen(recordBytes * 4.5);
        await appendInTurn('a', 'b', 'c', 'd', 'e');
        expect(sessionIds(await listed())).not.toContain('a');
        const late = store.append(large('a', 1), { continues: true });
        await expect(late).rejects.toMatchObject({ code: 'session_not_found' });
        expect(await store.read(sessionKey('a'))).toBeUndefined();
        await store.append(large('e', 1), { continues: true });
        expect((await store.read(sessionKey('e')))?.records).toHaveLength(2);
      });

      test('keeps the sums right', async () => {
        await reopen(recordBytes * 5.5);
        await appendInTurn(...Array.from({ length: 40 }, (_, i) => `s${i}`));
        const { sessions, records, bytes } = await store.status();
        const left = await listed();
        expect([sessions, records, bytes]).toEqual([
          left.length,
          left.length,
          left.reduce((sum, s) => sum + s.bytes, 0),
        ]);
        expect(bytes).toBeLessThanOrEqual(recordBytes * 5.5);
      });
    });

    describe('a list', () => {
      test('says of a session what its records say, in whatever order they came', async () => {
        const first = sealedTurn({ writtenAtMs: NOW_MS });
        const second = sealedTurn({ parent: first, writtenAtMs: NOW_MS + 5_000, expiresAtMs: NOW_MS + HOUR_MS });
        await store.append(second);
        await store.append(first);
        expect(await listed()).toEqual([
          {
            key: sessionKey(),
            turns: 2,
            mode: 'tokenized',
            bytes: first.bytes.length + second.bytes.length,
            createdAtMs: NOW_MS,
            updatedAtMs: NOW_MS + 5_000,
            expiresAtMs: NOW_MS + 24 * HOUR_MS,
          },
        ]);
      });

      test('comes in pages that together show every session once', async () => {
        const keys = Array.from({ length: 25 }, (_, i) => sessionKey(`s${i}`, `u${i % 3}`));
        await appendAll(keys.map((key) => sealedTurn({ key })));
        await store.append(sealedTombstone({ key: keys[7] as SessionKey }));
        const all = await listed();
        const paged = await pages({ limit: 4 });
        expect(all).toHaveLength(24);
        expect(paged.flat()).toEqual(all);
        expect(Math.max(...paged.map(({ length }) => length))).toBe(4);
      });

      test('passes over any number of deleted and expired sessions, a bounded number at a time', async () => {
        const id = (i: number) => sessionKey(`s${String(i).padStart(5, '0')}`);
        const over = Array.from({ length: 2_500 }, (_, i) => id(i));
        await appendAll(
          over.map((key, i) =>
            i % 2 === 0 ? sealedTombstone({ key }) : sealedTurn({ key, expiresAtMs: NOW_MS + HOUR_MS }),
          ),
        );
        await appendAll([id(1_200), id(9_999)].map((key) => sealedTurn({ key: { ...key, userId: 'v' as never } })));
        await store.append(sealedTurn({ key: id(9_998), expiresAtMs: NOW_MS + 24 * HOUR_MS }));
        const nowMs = NOW_MS + 2 * HOUR_MS;
        expect(sessionIds((await pages({ nowMs, limit: 1 })).flat())).toEqual(['s09998', 's01200', 's09999']);
        const user = over[0]?.userId;
        expect(sessionIds((await pages({ nowMs, userId: user })).flat())).toEqual(['s09998']);
      });

      test('of which nothing follows the last page says so, however full it is', async () => {
        await appendAll(['1', '2'].map((s) => sealedTurn({ key: sessionKey(s) })));
        await store.append(sealedTurn({ key: sessionKey('3', 'v') }));
        expect((await page({ userId: sessionKey().userId, limit: 2 })).next).toBeUndefined();
        expect((await page({ limit: 2 })).next).toEqual(sessionKey('2'));
        expect((await page({ limit: 3 })).next).toBeUndefined();
      });

      test("can be one user's, page by page, wherever the page before ended", async () => {
        const users = ['a', 'ab', 'b'];
        await appendAll(users.flatMap((u) => ['1', '2', '3'].map((s) => sealedTurn({ key: sessionKey(s, u) }))));
        const ab = 'ab' as SessionKey['userId'];
        expect(sessionIds(await listed({ userId: ab }))).toEqual(['1', '2', '3']);
        expect(sessionIds(await listed({ userId: ab, after: sessionKey('1', 'ab'), limit: 1 }))).toEqual(['2']);
        expect(sessionIds(await listed({ userId: ab, after: sessionKey('3', 'a') }))).toEqual(['1', '2', '3']);
        expect(sessionIds(await listed({ userId: ab, after: sessionKey('1', 'b') }))).toEqual([]);
        expect((await listed({ after: sessionKey('3', 'a'), limit: 1 }))[0]?.key).toEqual(sessionKey('1', 'ab'));
      });

      const unanswered = (key: SessionKey, expiresAtMs?: number) =>
        sealRecord({
          ...turnRecord({ key, ...(expiresAtMs !== undefined && { expiresAtMs }) }),
          payload: { mode: 'items', messages: [] },
        });

      async function expectKeys(): Promise<void> {
        const query = { keygroup: KEYGROUP, userId: sessionKey().userId, nowMs: NOW_MS + 2 * HOUR_MS };
        const first = await store.keys({ ...query, limit: 2 });
        expect(first).toEqual({ keys: [sessionKey('a'), sessionKey('b')], next: sessionKey('b') });
        const second = await store.keys({ ...query, limit: 2, after: first.next });
        expect(second).toEqual({ keys: [sessionKey('c')], next: undefined });
        expect(sessionIds(await listed({ nowMs: query.nowMs, userId: query.userId }))).toEqual(['b']);
      }

      test('shows no session in which nothing was answered; its key is found all the same, until it is deleted or over', async () => {
        await appendAll([
          unanswered(sessionKey('a')),
          sealedTurn({ key: sessionKey('b') }),
          unanswered(sessionKey('c')),
        ]);
        await appendAll(['deleted', 'e'].map((id) => unanswered(sessionKey(id), NOW_MS + HOUR_MS)));
        await appendAll([unanswered(sessionKey('a', 'v')), sealedTombstone({ key: sessionKey('deleted') })]);
        await expectKeys();
        if (!options.persistent) return;
        await reopen();
        await expectKeys();
      });

      test('begins after a session that is no more', async () => {
        await appendAll(['1', '3'].map((s) => sealedTurn({ key: sessionKey(s) })));
        expect(sessionIds(await listed({ after: sessionKey('2') }))).toEqual(['3']);
      });
    });

    describe('many writers at once', () => {
      test('on many sessions lose nothing', async () => {
        const lines = Array.from({ length: 64 }, (_, i) => sealedLine(10, { key: sessionKey(`s${i}`), variant: i }));
        await Promise.all(
          lines.map(async (line) => {
            for (const sealed of line) await store.append(sealed);
          }),
        );
        for (const [i, line] of lines.entries()) expect(await stored(sessionKey(`s${i}`))).toEqual(hashes(line));
        expect(await store.status()).toMatchObject({ sessions: 64, records: 640 });
      });

      test('on one session lose nothing', async () => {
        const branches = Array.from({ length: 200 }, (_, variant) => sealedTurn({ variant }));
        await appendAll(branches);
        expect((await stored())?.sort()).toEqual(hashes(branches)?.sort());
      });

      test('are read whole or not at all while they come', async () => {
        for (let i = 0; i < 100; i++) {
          const key = sessionKey(`s${i}`);
          let isAcknowledged = false;
          const appended = store.append(sealedTurn({ key })).then(() => {
            isAcknowledged = true;
          });
          while (!isAcknowledged) {
            // Reads that begin at every moment of the commit.
            const reads = await Promise.all(Array.from({ length: 8 }, () => store.read(key)));
            for (const read of reads) expect(read ?? { records: [], corrupt: 0 }).toMatchObject({ corrupt: 0 });
          }
          await appended;
        }
      });

      test('see what they appended as soon as it is acknowledged', async () => {
        await Promise.all(
          Array.from({ length: 50 }, async (_, i) => {
            const key = sessionKey(`s${i}`);
            for (const sealed of sealedLine(4, { key })) {
              await store.append(sealed);
              expect((await stored(key))?.at(-1)).toBe(sealed.hash);
            }
          }),
        );
      });
    });

    describe('reopened', () => {
      ifPersistent('holds everything, order, sums and lists included', async () => {
        const lines = Array.from({ length: 20 }, (_, i) => sealedLine(5, { key: sessionKey(`s${i}`) }));
        await appendAll(lines.flat());
        await store.append(sealedTombstone({ key: sessionKey('s3') }));
        const before = [await store.status(), await listed()];
        await reopen();
        expect([await store.status(), await listed()]).toEqual(before);
        for (const [i, line] of lines.entries())
          expect(await stored(sessionKey(`s${i}`))).toEqual(i === 3 ? [] : hashes(line));
      });

      ifPersistent('goes on where it was: knows records, tombstones, expiry', async () => {
        const line = sealedLine(2);
        await appendAll([...line, sealedTombstone({ key: sessionKey('gone') })]);
        await reopen();
        await store.append(line[1] as SealedRecord);
        expect((await store.status()).records).toBe(3);
        await expect(store.append(sealedTurn({ key: sessionKey('gone') }))).rejects.toMatchObject({
          code: 'session_deleted',
        });
        expect(await store.expire(NOW_MS + 100 * HOUR_MS)).toBe(2);
        expect(await store.status()).toMatchObject({ sessions: 0, records: 0, bytes: 0 });
      });

      ifPersistent('remembers which sessions were used last, reads included', async () => {
        for (const sessionId of ['a', 'b', 'c']) {
          await store.append(sealedTurn({ key: sessionKey(sessionId), replyTokens: 500 }));
          await environment.advance(1);
        }
        hoursPass(1);
        await store.read(sessionKey('a'));
        await reopen(3_200);
        await store.append(sealedTurn({ key: sessionKey('d'), replyTokens: 500 }));
        expect(sessionIds(await listed())).toContain('a');
        expect(sessionIds(await listed())).not.toContain('b');
      });
    });

    describe('a damaged record', () => {
      ifDamageable('is left out, counted and logged without a word of it', async (damage) => {
        const line = sealedLine(4);
        await appendAll(line);
        await store.close();
        await damage(folder, line[2] as SealedRecord, 'record flipped');
        await reopen();
        expect((await store.status()).corruptRecords).toBe(0);
        const session = await store.read(sessionKey());
        expect(hashes(session?.records)).toEqual(hashes([line[0], line[1], line[3]] as SealedRecord[]));
        expect(session?.corrupt).toBe(1);
        expect((await store.status()).corruptRecords).toBe(1);
        const warnings = environment.logLines.filter((line) => line.level === 'warn');
        expect(warnings).toHaveLength(1);
        expect(JSON.stringify(warnings)).not.toMatch(/user|session-|prompt|\[1,2,3/);
      });

      ifDamageable('harms no other session', async (damage) => {
        const [mine, other] = [sealedTurn(), sealedTurn({ key: sessionKey('other') })];
        await appendAll([mine, other]);
        await store.close();
        await damage(folder, mine, 'record flipped');
        await reopen();
        expect(await store.read(sessionKey())).toMatchObject({ deleted: false, records: [], corrupt: 1 });
        expect(await stored(sessionKey('other'))).toEqual([other.hash]);
      });
    });

    ifDamageable('a lost record is counted as damage, not taken for one that never was', async (damage) => {
      const line = sealedLine(3);
      await appendAll(line);
      await store.close();
      await damage(folder, line[1] as SealedRecord, 'record lost');
      await reopen();
      const session = await store.read(sessionKey());
      expect(hashes(session?.records)).toEqual(hashes([line[0], line[2]] as SealedRecord[]));
      expect(session?.corrupt).toBe(1);
      expect((await store.status()).corruptRecords).toBe(1);
    });

    describe.each(['row flipped', 'row lost'] as const)('a damaged session (%s)', (what) => {
      ifDamageable('is made again from the records', async (damage) => {
        const line = sealedLine(3);
        await appendAll(line);
        const before = await listed();
        await store.close();
        await damage(folder, line[0] as SealedRecord, what);
        await reopen();
        expect(await stored()).toEqual(hashes(line));
        if (what === 'row flipped') expect(await listed()).toEqual(before);
        await store.append(sealedTurn({ parent: line[2] }));
        expect((await listed())[0]?.turns).toBe(4);
        expect(await store.expire(NOW_MS + 24 * HOUR_MS)).toBe(1);
        expect(await store.status()).toMatchObject({ sessions: 0, records: 0, bytes: 0 });
      });

      ifDamageable('does not undo a deletion', async (damage) => {
        const [turn, tombstone] = [sealedTurn(), sealedTombstone()];
        await store.append(turn);
        await store.append(tombstone);
        await store.close();
        await damage(folder, tombstone, what);
        await reopen();
        expect((await store.read(sessionKey()))?.deleted).toBe(true);
        await expect(store.append(turn)).rejects.toMatchObject({ code: 'session_deleted' });
      });

      ifDamageable('does not make a session absent when its record is damaged too', async (damage) => {
        const turn = sealedTurn();
        await store.append(turn);
        await store.close();
        await damage(folder, turn, 'record flipped');
        await damage(folder, turn, what);
        await reopen();
        expect(await store.read(sessionKey())).toMatchObject({ deleted: false, records: [], corrupt: 1 });
      });
    });

    describe('told of', () => {
      /** What a listener hears from now on, and whether a reader finds it at that moment. */
      function listen() {
        const told: string[] = [];
        const found: Promise<boolean>[] = [];
        const end = store.onRecord((sealed, from) => {
          told.push(`${sealed.hash} ${from}`);
          found.push(
            store.read(sessionKeyOf(sealed.record)).then((session) => {
              const isThere = session?.records.some(({ hash }) => hash === sealed.hash);
              return sealed.record.kind === 'tombstone' ? session?.deleted === true : isThere === true;
            }),
          );
        });
        return { told, found: () => Promise.all(found), end };
      }
      const here = (records: readonly SealedRecord[]) => records.map(({ hash }) => `${hash} here`);

      test('is every record, once, in the order in which it was taken in, when it can be read', async () => {
        const heard = listen();
        const lines = [sealedLine(20, { key: sessionKey('a') }), sealedLine(20, { key: sessionKey('b') })] as const;
        const mixed = lines[0].flatMap((sealed, index) => [sealed, lines[1][index] as SealedRecord]);
        await appendAll(mixed);
        const tombstone = sealedTombstone({ key: sessionKey('a') });
        await store.append(tombstone);
        expect(heard.told).toEqual(here([...mixed, tombstone]));
        expect(await heard.found()).toEqual([...mixed, tombstone].map(() => true));
      });

      test('is a record before its append resolves', async () => {
        const heard = listen();
        for (const sealed of sealedLine(5)) {
          await store.append(sealed);
          expect(heard.told.at(-1)).toBe(`${sealed.hash} here`);
          expect(await heard.found()).not.toContain(false);
        }
      });

      test('is nothing that was held already, refused, expired or read', async () => {
        const turn = sealedTurn();
        await store.append(turn);
        const heard = listen();
        await appendAll([turn, turn]);
        await expect(store.append(sealedTurn({ key: sessionKey('gone') }), { continues: true })).rejects.toThrow();
        await store.append(sealedTombstone());
        await expect(store.append(turn)).rejects.toThrow();
        await store.read(sessionKey());
        await store.expire(Number.MAX_SAFE_INTEGER);
        expect(heard.told).toEqual(here([sealedTombstone()]));
      });

      test('are all who listen, in the order in which they came, though one throws', async () => {
        const calls: string[] = [];
        store.onRecord(() => void calls.push('first'));
        store.onRecord(() => {
          throw new Error('a broken listener');
        });
        const end = store.onRecord(() => void calls.push('third'));
        await store.append(sealedTurn());
        expect(calls).toEqual(['first', 'third']);
        expect(environment.logLines.filter(({ event }) => event === 'record_listener_failed')).toHaveLength(1);
        end();
        await store.append(sealedTurn({ turn: 2 }));
        expect(calls).toEqual(['first', 'third', 'first']);
      });

      test('is each record to all before the next to any, when one who listens writes', async () => {
        const calls: string[] = [];
        let written: Promise<void> | undefined;
        store.onRecord(({ record: { sessionId } }) => {
          calls.push(`first ${sessionId}`);
          if (sessionId === 'a') written = store.append(sealedTurn({ key: sessionKey('b') }));
        });
        store.onRecord(({ record: { sessionId } }) => void calls.push(`second ${sessionId}`));
        await store.append(sealedTurn({ key: sessionKey('a') }));
        await written;
        expect(calls).toEqual(['first a', 'second a', 'first b', 'second b']);
      });

      test('and one that fails some time later is logged as well', async () => {
        store.onRecord(async () => {
          throw new Error('a broken listener');
        });
        await store.append(sealedTurn());
        await setImmediate();
        expect(environment.logLines.filter(({ event }) => event === 'record_listener_failed')).toHaveLength(1);
      });
    });

    describe('told of the removal of a session', () => {
      /** What is told from now on: sessions that are removed by name, records by kind. */
      function heard(): string[] {
        const told: string[] = [];
        store.onRemoved(({ userId, sessionId }) => void told.push(`- ${userId}/${sessionId}`));
        store.onRecord(({ record }) => void told.push(`+ ${record.kind} ${record.userId}/${record.sessionId}`));
        return told;
      }

      test('that is deleted: once, before its tombstone', async () => {
        await appendAll(sealedLine(3));
        await store.append(sealedTurn({ key: sessionKey('other') }));
        const told = heard();
        await store.append(sealedTombstone());
        await store.append(sealedTombstone({ writtenAtMs: NOW_MS + 1 }));
        expect(told).toEqual(['- user/session', '+ tombstone user/session', '+ tombstone user/session']);
      });

      test('of which nothing was here: not at all', async () => {
        const told = heard();
        await store.append(sealedTombstone());
        await store.expire(NOW_MS, sessionKey('unknown'));
        expect(told).toEqual(['+ tombstone user/session']);
      });

      test('that is expired, asked for by itself or swept', async () => {
        await appendAll(['a', 'b', 'c'].map((id) => sealedTurn({ key: sessionKey(id), expiresAtMs: NOW_MS + 1 })));
        await store.append(sealedTurn({ key: sessionKey('lives') }));
        const told = heard();
        await store.expire(NOW_MS + 1, sessionKey('b'));
        expect(told).toEqual(['- user/b']);
        await store.expire(NOW_MS + 1);
        expect(told.slice(1).sort()).toEqual(['- user/a', '- user/c']);
      });

      test('that is evicted, when it is gone for whoever reads it then', async () => {
        await reopen(3_200);
        const keys = ['a', 'b', 'c', 'd', 'e'].map((id) => sessionKey(id));
        const gone: string[] = [];
        const found: Promise<unknown>[] = [];
        store.onRemoved((key) => {
          gone.push(key.sessionId);
          found.push(store.read(key));
        });
        for (const key of keys) {
          await store.append(sealedTurn({ key, replyTokens: 500 }));
          await environment.advance(1);
        }
        const left = sessionIds(await listed());
        expect(gone.length).toBeGreaterThan(0);
        expect([...gone, ...left]).toEqual(keys.map(({ sessionId }) => sessionId));
        expect(await Promise.all(found)).toEqual(gone.map(() => undefined));
      });

      test('that is written anew in the same moment: removed first', async () => {
        await store.append(sealedTurn({ expiresAtMs: NOW_MS + 1 }));
        const told = heard();
        await Promise.all([store.expire(NOW_MS + 1), store.append(sealedTurn({ variant: 2 }))]);
        expect(told).toEqual(['- user/session', '+ turn user/session']);
      });

      test('and one that listens and throws harms nobody', async () => {
        await store.append(sealedTurn());
        store.onRemoved(() => {
          throw new Error('a broken listener');
        });
        const told = heard();
        const end = store.onRemoved(() => void told.push('ended'));
        end();
        await store.append(sealedTombstone());
        expect(told).toEqual(['- user/session', '+ tombstone user/session']);
        expect(environment.logLines.filter(({ event }) => event === 'record_listener_failed')).toHaveLength(1);
      });
    });

    conversationIndexSuite({ store: () => store, reopen, ifPersistent });
    erasureSuite({ store: () => store, reopen, ifPersistent });

    describe('closed', () => {
      test('fails every call with store_unavailable and never looks empty', async () => {
        await store.append(sealedTurn());
        await store.close();
        await store.close();
        const unavailable = { code: 'store_unavailable' };
        await expect(store.append(sealedTurn())).rejects.toMatchObject(unavailable);
        await expect(store.read(sessionKey())).rejects.toMatchObject(unavailable);
        await expect(listed()).rejects.toMatchObject(unavailable);
        await expect(store.expire(NOW_MS)).rejects.toMatchObject(unavailable);
        await expect(store.status()).rejects.toMatchObject(unavailable);
      });

      ifPersistent('only after what was under way is durable', async () => {
        const line = sealedLine(50);
        const appends = appendAll(line);
        await store.close();
        await appends;
        store = await options.open(folder, environment, PLENTY_BYTES);
        expect(await stored()).toEqual(hashes(line));
      });
    });
  });
}
