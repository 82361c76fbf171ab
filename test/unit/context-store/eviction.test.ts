// A full store that shares with others. Tries to have it let go what only it holds while something is left that others hold: in
// front of much else, not yet confirmed, evicted at the others by now, or of a user who has more than others.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openLevelStore } from '../../../src/context-store/leveldb.ts';
import { memoryStore } from '../../../src/context-store/memory.ts';
import { DOCUMENTS_KEYGROUP } from '../../../src/domain/cluster/documents.ts';
import type { NodeId, UserId } from '../../../src/domain/identifiers.ts';
import type { WhenFull } from '../../../src/domain/when-full.ts';
import {
  KEYGROUP,
  sealedErasure,
  sealedTombstone,
  sealedTurn,
  sessionKey,
  WRITTEN_AT_MS,
} from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { FullReplica } from '../../support/full-replica.ts';

/** Of each record here, but for some bytes. */
const RECORD_BYTES = sealedTurn({ key: sessionKey('s1'), replyTokens: 500 }).bytes.length;
const turn = (sessionId: string, userId = 'user') => ({ key: sessionKey(sessionId, userId), replyTokens: 500 });

const document = (kind: string, id: string) =>
  sealedTurn({ key: sessionKey(id, kind, DOCUMENTS_KEYGROUP), replyTokens: 500 });

let folder: string;
let replica: FullReplica;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-eviction-'));
  replica = new FullReplica(folder, { bytesMax: 0 }, virtualEnvironment());
});
afterEach(async () => {
  await replica.close();
  await rm(folder, { recursive: true });
});

async function open(records: number, peers: FullReplica['peers'], whenFull?: WhenFull): Promise<void> {
  const limits = { bytesMax: RECORD_BYTES * records, whenFull };
  replica = new FullReplica(folder, limits, virtualEnvironment({ startMs: WRITTEN_AT_MS }));
  replica.peers = peers;
  await replica.open();
}

const alone = () => ({ folder: join(folder, 'alone'), nodeId: 'a' as NodeId });
const documentsOf = (peer: string) => ({ ...replica.logOf(peer), keygroup: DOCUMENTS_KEYGROUP });
const goneIds = () => replica.gone.map(({ sessionId }) => sessionId as string);
const writeAll = async (...sessionIds: string[]) => {
  for (const sessionId of sessionIds) await replica.write(turn(sessionId));
};
const evictions = () =>
  replica.environment.logLines
    .filter(({ event }) => event === 'sessions_evicted')
    .map(({ level, fields }) => [level, fields.sessions, fields.lastCopies]);

test('what others wrote and hold goes first, then what they hold, then what nodes away hold, and the last copies when it is full', async () => {
  await open(8.1, { b: {}, c: { state: 'unreachable' } });
  await writeAll('own-1', 'own-2');
  replica.has('b');
  await writeAll('last-1');
  await replica.receive('c', turn('away-1'));
  await replica.receive('b', turn('b-1'), turn('b-2'));
  await writeAll('last-2', 'last-3');
  expect(goneIds()).toEqual(['b-1', 'b-2']);
  await writeAll('last-4', 'last-5');
  expect(goneIds().slice(2)).toEqual(['own-1', 'own-2']);
  await writeAll('last-6', 'last-7');
  expect(goneIds().slice(4)).toEqual(['away-1']);
  expect((await replica.store.status()).evictedLastCopies).toBe(0);
  await writeAll('last-8');
  expect(goneIds()).toHaveLength(5);
  await writeAll('last-9');
  expect(goneIds().slice(5)).toEqual(['last-1']);
  expect(await replica.store.status()).toMatchObject({ evictedSessions: 6, evictedLastCopies: 1 });
  expect(evictions().join(' | ')).toBe('info,2,0 | info,2,0 | info,1,0 | warn,1,1');
});

test('a last copy that a peer has come to hold goes before one that it has not', async () => {
  await open(8.1, { b: {} });
  await writeAll('s1', 's2', 's3', 's4', 's5', 's6', 's7', 's8');
  expect(goneIds()).toEqual([]);
  // The first is held by nobody again: the peer has evicted it.
  replica.has('b');
  replica.evicts('b', replica.ownLog, 1);
  await writeAll('s9');
  expect(goneIds()).toEqual(['s2', 's3', 's4']);
  expect((await replica.store.status()).evictedLastCopies).toBe(0);
});

test('one that is written again goes after those that were not', async () => {
  await open(8.1, { b: {} });
  await writeAll('again', 's2', 's3', 's4', 's5', 's6', 's7', 's8');
  await replica.write({ ...turn('again'), turn: 2 });
  expect(goneIds()).toEqual(['s2']);
  replica.has('b');
  await writeAll('s9');
  expect(goneIds()).toEqual(['s2', 's3', 's4', 's5']);
});

test("a user's part comes first: nobody loses what others hold to somebody else's last copies", async () => {
  await open(10.2, { b: {} });
  await replica.write(turn('ada-1', 'ada'));
  await replica.write(turn('ada-2', 'ada'));
  replica.has('b');
  for (let n = 1; n <= 14; n++) await replica.write(turn(`bob-${n}`, 'bob'));
  expect(new Set(replica.gone.map(({ userId }) => userId))).toEqual(new Set(['bob']));
  expect((await replica.store.status()).evictedLastCopies).toBe(replica.gone.length);
});

test('a node alone among none evicts as one that shares with nobody', async () => {
  await open(10.5, {});
  await writeAll('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k');
  expect(goneIds()).toEqual(['a', 'b']);
  expect((await replica.store.status()).evictedLastCopies).toBe(2);
});

test('what it has evicted of a log is told, and known after a restart', async () => {
  await open(8.1, { b: {} });
  await replica.receive('b', turn('b-1'), turn('b-2'), turn('b-3'));
  await writeAll('s1', 's2', 's3', 's4', 's5');
  const log = replica.logOf('b');
  expect(goneIds()).toEqual(['b-1', 'b-2']);
  expect(replica.told).toContainEqual({ kind: 'evicted', log, through: 2 });
  await replica.close();
  await replica.open();
  expect(replica.store.evictedThrough(log)).toBe(2);
  expect(await replica.store.logState(log)).toMatchObject({ evictedThrough: 2 });
  expect(replica.store.evictedThrough(replica.ownLog)).toBe(0);
});

test('documents that another node has written, and so holds, stay though they are more than all else that others hold', async () => {
  await open(10.2, { b: { node: { keygroups: [KEYGROUP, DOCUMENTS_KEYGROUP] } } });
  const documents = ['ada', 'bob', 'carl', 'dora', 'emil'].map((id) => document('user-preferences', id));
  await replica.receiveIn(documentsOf('b'), ...documents);
  await replica.receive('b', turn('b-1'));
  await writeAll('s1', 's2', 's3', 's4', 's5', 's6');
  expect(goneIds()).toEqual(['b-1', 's1']);
  for (const { record } of documents) expect((await replica.store.read(record))?.records).toHaveLength(1);
  expect(replica.store.evictedThrough(documentsOf('b'))).toBe(0);
});

test('however many last copies are used less lately, they stay while others hold something, and no eviction looks at all of them', async () => {
  const small = (sessionId: string) => ({ key: sessionKey(sessionId), replyTokens: 60 });
  const bytes = sealedTurn(small('last-0000')).bytes.length;
  await open((950 * bytes) / RECORD_BYTES, { b: {} });
  const last = Array.from({ length: 700 }, (_, n) => `last-${String(n).padStart(4, '0')}`);
  await replica.write(...last.map(small));
  await replica.receive('b', ...Array.from({ length: 200 }, (_, n) => small(`of-b-${String(n).padStart(4, '0')}`)));
  for (let n = 0; n < 130; n++) await replica.write(small(`more-${String(n).padStart(4, '0')}`));
  expect(new Set(goneIds().map((sessionId) => sessionId.slice(0, 4)))).toEqual(new Set(['of-b']));
  expect(replica.gone.length).toBeGreaterThan(100);
  expect((await replica.store.status()).evictedLastCopies).toBe(0);
  expect(replica.lookUps).toBeLessThan(3 * (700 + 200 + 130));
});

describe('a store that refuses when it is full', () => {
  const refused = { code: 'store_unavailable' };

  test('lets go what others hold, keeps last copies, and takes turns again once others hold some of them', async () => {
    await open(8.1, { b: {} }, 'refuse');
    await replica.receive('b', turn('b-1'));
    await writeAll('s1', 's2', 's3', 's4', 's5', 's6', 's7', 's8', 's9');
    expect(goneIds()).toEqual(['b-1']);
    await expect(replica.write(turn('s10'))).rejects.toMatchObject(refused);
    await expect(replica.receive('b', turn('b-2'))).rejects.toMatchObject(refused);
    expect((await replica.store.read(sessionKey('s1')))?.records).toHaveLength(1);
    replica.has('b');
    await replica.environment.advance(1_000);
    // Whoever is refused first has it looked at again.
    await expect(replica.write(turn('s10'))).rejects.toMatchObject(refused);
    await expect.poll(async () => (await replica.store.status()).sessions).toBeLessThan(9);
    await writeAll('s10');
    expect((await replica.store.status()).evictedLastCopies).toBe(0);
  });

  test('takes documents and what removes from elsewhere, though not the turns beside it', async () => {
    await open(3.5, { b: {} }, 'refuse');
    await writeAll('s1', 's2', 's3', 's4');
    const [preferences, receipt] = [document('user-preferences', 'ada'), sealedErasure({ userId: 'bob' })];
    await replica.receiveIn(documentsOf('b'), preferences, receipt);
    expect((await replica.store.read(preferences.record))?.records).toHaveLength(1);
    expect(replica.store.erasures.latest('bob' as UserId)).toBe(1);
    expect(replica.store.cursor(documentsOf('b')).sequence).toBe(2);
    const batch = [sealedTurn(turn('b-1')), ...['s1', 's2'].map((id) => sealedTombstone({ key: sessionKey(id) }))];
    await expect(replica.receiveIn(replica.logOf('b'), ...batch)).rejects.toMatchObject(refused);
    expect(replica.store.cursor(replica.logOf('b')).sequence).toBe(0);
    expect((await replica.store.read(sessionKey('s1')))?.deleted).toBe(true);
    // These have made room for that.
    await replica.receiveIn(replica.logOf('b'), ...batch);
    expect((await replica.store.status()).sessions).toBe(4);
    expect(
      (await replica.store.readLog(replica.logOf('b'), { after: 0, limit: 9 })).map(({ sequence }) => sequence),
    ).toEqual([1, 2, 3]);
  });

  test.each([
    [
      'leveldb',
      (bytesMax: number) => openLevelStore({ ...alone(), bytesMax, whenFull: 'refuse' }, virtualEnvironment()),
    ],
    ['memory', async (bytesMax: number) => memoryStore({ bytesMax, whenFull: 'refuse' }, virtualEnvironment())],
  ])('and is shared with nobody, %s, takes turns again once something is deleted', async (_, openStore) => {
    const store = await openStore(RECORD_BYTES * 3.5);
    for (const sessionId of ['s1', 's2', 's3', 's4']) await store.append(sealedTurn(turn(sessionId)));
    await expect(store.append(sealedTurn(turn('s5')))).rejects.toMatchObject(refused);
    expect(await store.status()).toMatchObject({ sessions: 4, evictedSessions: 0 });
    await store.append(document('api-key', 'revoked'));
    await store.append(sealedErasure({ userId: 'bob' }));
    expect(store.erasures.latest('bob' as UserId)).toBe(1);
    await expect(store.append(sealedTurn(turn('s5')))).rejects.toMatchObject(refused);
    await store.append(sealedTombstone({ key: sessionKey('s1') }));
    await store.append(sealedTombstone({ key: sessionKey('s2') }));
    await store.append(sealedTurn(turn('s5')));
    expect(await store.status()).toMatchObject({ sessions: 4, evictedSessions: 0 });
    expect((await store.read(document('api-key', 'revoked').record))?.records).toHaveLength(1);
    await store.close();
  });
});
