// The LevelDB store against the promises of every context store, and what only its tables show: index entries that pile up,
// and a record under a key that is not its own. Damage is done to the closed store's own tables.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { NOTHING, openTables, type Tables, tableKey } from '../../src/context-store/leveldb/tables/tables.ts';
import { openLevelStore } from '../../src/context-store/leveldb.ts';
import { DOCUMENTS_KEYGROUP } from '../../src/domain/cluster/documents.ts';
import type { NodeId } from '../../src/domain/identifiers.ts';
import { HOUR_MS, KEYGROUP, sealedTombstone, sealedTurn, sessionKey, WRITTEN_AT_MS } from '../../tools/turn-records.ts';
import { virtualEnvironment } from '../../tools/virtual-environment.ts';
import { damageStore } from '../support/damage-store.ts';
import { contextStoreSuite } from './context-store-suite.ts';

contextStoreSuite('leveldb', {
  open: (folder, environment, bytesMax) =>
    openLevelStore({ folder: join(folder, 'data'), nodeId: 'node-1' as NodeId, bytesMax }, environment),
  persistent: true,
  damage: (folder, sealed, what) => damageStore(join(folder, 'data'), sealed, what),
});

async function sessionIds(index: Tables['byExpiry']): Promise<string[]> {
  const ids: string[] = [];
  for await (const [, , , sessionId] of index.keys()) ids.push(sessionId);
  return ids;
}

async function storeOfItsOwn() {
  const folder = await mkdtemp(join(tmpdir(), 'discedge-level-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const environment = virtualEnvironment();
  const open = () => openLevelStore({ folder, nodeId: 'node-1' as NodeId, bytesMax: 1_000_000 }, environment);
  return { environment, folder, open, store: await open(), tables: () => openTables(join(folder, 'leveldb')) };
}

test('a session has one entry in each index, however often its times move, and a deleted one no entry by use', async () => {
  const { environment, store, tables } = await storeOfItsOwn();
  for (let turn = 1; turn <= 5; turn++) {
    await environment.advance(HOUR_MS);
    await store.append(sealedTurn({ turn, expiresAtMs: WRITTEN_AT_MS + (turn + 24) * HOUR_MS }));
    await store.append(sealedTurn({ key: sessionKey('deleted'), turn }));
  }
  await store.append(sealedTombstone({ key: sessionKey('deleted') }));
  await store.close();
  const { byExpiry, byUse, close } = await tables();
  expect(await sessionIds(byExpiry)).toEqual(['deleted', 'session']);
  expect(await sessionIds(byUse)).toEqual(['session']);
  await close();
});

test('a document that an earlier version has put into the index by use is not evicted, and is dropped from it', async () => {
  const { environment, store, folder, tables } = await storeOfItsOwn();
  const key = sessionKey('ada', 'user-preferences', DOCUMENTS_KEYGROUP);
  await store.append(sealedTurn({ key, replyTokens: 500 }));
  await store.close();
  const before = await tables();
  expect(await sessionIds(before.byUse)).toEqual([]);
  await before.write(() => before.byUse.put([WRITTEN_AT_MS - HOUR_MS, ...tableKey(key)], NOTHING));
  await before.close();
  const again = await openLevelStore({ folder, nodeId: 'node-1' as NodeId, bytesMax: 4_000 }, environment);
  for (const sessionId of ['s1', 's2', 's3', 's4', 's5', 's6'])
    await again.append(sealedTurn({ key: sessionKey(sessionId), replyTokens: 500 }));
  expect((await again.status()).evictedSessions).toBeGreaterThan(0);
  expect((await again.read(key))?.records).toHaveLength(1);
  await again.close();
  const after = await tables();
  expect(await sessionIds(after.byUse)).not.toContain('ada');
  await after.close();
});

test("a record under another session's key is damage, not that session's turn", async () => {
  const { open, store, tables } = await storeOfItsOwn();
  const [mine, foreign] = [sealedTurn(), sealedTurn({ key: sessionKey('session', 'someone-else') })];
  await store.append(mine);
  await store.close();
  const { records, write, close } = await tables();
  await write(() => {
    records.put([...tableKey(sessionKey()), 1, foreign.hash], foreign.bytes);
    records.put([...tableKey(sessionKey()), 7, mine.hash], mine.bytes);
  });
  await close();
  const again = await open();
  const session = await again.read(sessionKey());
  expect(session?.records.map((sealed) => sealed.hash)).toEqual([mine.hash]);
  expect(session?.corrupt).toBe(2);
  await again.close();
});

test('a list looks at a thousand sessions at most, whatever it has to pass over', async () => {
  const { store } = await storeOfItsOwn();
  const keys = Array.from({ length: 1_500 }, (_, i) => sessionKey(`s${String(i).padStart(5, '0')}`));
  await Promise.all(keys.map((key) => store.append(sealedTombstone({ key }))));
  await store.append(sealedTurn({ key: sessionKey('t') }));
  const query = { keygroup: KEYGROUP, limit: 10, nowMs: WRITTEN_AT_MS };
  const first = await store.list(query);
  expect(first).toEqual({ sessions: [], next: keys[999] });
  const second = await store.list({ ...query, after: first.next });
  expect(second).toMatchObject({ sessions: [{ key: sessionKey('t') }], next: undefined });
  await store.close();
});
