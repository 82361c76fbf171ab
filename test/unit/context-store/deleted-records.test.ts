// Own records that are deleted, and whose text something outside may still hold: tries to have some forgotten, because they are many,
// because an earlier build kept them in a note, or because a batch fails; and to have commits that delete nothing pay for them.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { openReplica, type ReplicaStore } from '../../../src/context-store/leveldb/replica.ts';
import { openTables, type Tables } from '../../../src/context-store/leveldb/tables/tables.ts';
import { LevelContextStore } from '../../../src/context-store/leveldb.ts';
import { DeletedPages } from '../../../src/context-store/replication/publish/deleted-pages.ts';
import type { NodeId } from '../../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../../src/domain/record/record-codec.ts';
import { KEYGROUP, sealedTombstone, sealedTurn, sessionKey } from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { watchedLevel } from '../../support/watched-level.ts';

const nodeId = 'node-1' as NodeId;
const [SESSIONS, TURNS] = [3, 3_500];

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-deleted-'));
  onTestFinished(() => rm(folder, { recursive: true }));
});

async function open(): Promise<ReplicaStore> {
  const replica = await openReplica({ folder, nodeId, bytesMax: 1e9 }, virtualEnvironment());
  onTestFinished(() => replica.close());
  replica.rememberDeleted();
  return replica;
}

const own = ({ incarnation }: Pick<ReplicaStore, 'incarnation'>, { record }: SealedRecord) =>
  sealRecord({ ...record, origin: nodeId, incarnation });

async function deletedOf(replica: ReplicaStore): Promise<number[]> {
  const found: number[] = [];
  for (;;) {
    const page = await replica.deletedRecords(KEYGROUP, { after: found.at(-1) ?? 0, limit: 1_000 });
    if (page.length === 0) return found;
    found.push(...page);
  }
}

const upTo = (length: number) => Array.from({ length }, (_, i) => i + 1);

test('of 10,500 none is forgotten, also by the next start, until it is settled', async () => {
  const first = await open();
  for (let session = 0; session < SESSIONS; session++) {
    const key = sessionKey(`s${session}`);
    const turns = Array.from({ length: TURNS }, (_, i) => own(first, sealedTurn({ key, turn: i + 1 })));
    await Promise.all(turns.map((sealed) => first.append(sealed)));
  }
  for (let session = 0; session < SESSIONS; session++)
    await first.append(own(first, sealedTombstone({ key: sessionKey(`s${session}`) })));
  await first.close();
  const again = await open();
  expect(await deletedOf(again)).toEqual(upTo(SESSIONS * TURNS));
  await again.settleDeleted(KEYGROUP, upTo(5_000));
  await again.close();
  const third = await open();
  expect((await deletedOf(third))[0]).toBe(5_001);
  expect(await deletedOf(third)).toHaveLength(SESSIONS * TURNS - 5_000);
});

test('what an earlier build has noted is taken over once', async () => {
  await (await open()).close();
  const inTables = async <T>(look: (tables: Tables) => T | Promise<T>): Promise<T> => {
    const tables = await openTables(join(folder, 'leveldb'));
    try {
      return await look(tables);
    } finally {
      await tables.close();
    }
  };
  const noted = [
    [KEYGROUP, 7],
    ['ffffffffffffffff', 1],
    [KEYGROUP, 3],
  ];
  await inTables((tables) => tables.write(() => tables.meta.put(['deleted'], JSON.stringify(noted))));
  const replica = await open();
  expect(await deletedOf(replica)).toEqual([3, 7]);
  await replica.settleDeleted(KEYGROUP, [3, 7]);
  await replica.close();
  const again = await open();
  expect(await deletedOf(again)).toEqual([]);
  await again.close();
  expect(await inTables(({ meta }) => meta.get(['deleted']))).toBeUndefined();
});

test('a record is remembered in the commit that deletes it, and one that deletes nothing does not come near', async () => {
  const environment = virtualEnvironment();
  let writes = 0;
  const puts: number[] = [];
  const watched = (tables: Tables): Tables => ({
    ...tables,
    write: (ops) => {
      writes++;
      return tables.write(ops);
    },
    deleted: {
      ...tables.deleted,
      put: (key, value) => {
        puts.push(writes);
        tables.deleted.put(key, value);
      },
      get: () => expect.unreachable(),
      keys: () => expect.unreachable(),
      entries: () => expect.unreachable(),
      remove: () => expect.unreachable(),
    },
  });
  const { level } = await watchedLevel({ folder, nodeId, bytesMax: 1e9 }, environment, watched);
  level.keepLog();
  level.rememberDeleted();
  const store = new LevelContextStore(level, environment);
  await store.append(own(store, sealedTurn()));
  await store.append(own(store, sealedTurn({ key: sessionKey('other') })));
  await store.append(own(store, sealedTombstone({ key: sessionKey('never there') })));
  expect([writes, puts]).toEqual([3, []]);
  await store.append(own(store, sealedTombstone()));
  expect([writes, puts]).toEqual([4, [4]]);
});

test('pages go on behind what is settled, and come back for what was deleted before them meanwhile', async () => {
  const replica = await open();
  const log = { origin: nodeId, incarnation: replica.incarnation, keygroup: KEYGROUP };
  const keys = ['a', 'b', 'c', 'd', 'e'].map((id) => sessionKey(id));
  for (const key of keys) await replica.append(own(replica, sealedTurn({ key })));
  const remove = (at: number) => replica.append(own(replica, sealedTombstone({ key: keys[at] as never })));
  for (const at of [1, 2, 4]) await remove(at);
  const pages = new DeletedPages({ log, replica });
  expect(await pages.next({ limit: 2 })).toEqual([2, 3]);
  // Not settled: the same again.
  expect(await pages.next({ limit: 2 })).toEqual([2, 3]);
  await pages.settle([2, 3]);
  await remove(0);
  expect(await pages.next({ limit: 2, upTo: 4 })).toEqual([1]);
  await pages.settle([1]);
  expect(await pages.next({ limit: 2, upTo: 4 })).toEqual([]);
  expect(await pages.next({ limit: 2 })).toEqual([5]);
  await pages.settle([5]);
  expect(await pages.next({ limit: 2 })).toEqual([]);
  expect(await deletedOf(replica)).toEqual([]);
});
