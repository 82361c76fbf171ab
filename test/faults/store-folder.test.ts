// Tries to get two nodes onto one data folder, or one node onto a folder that is not its own: a second opener in this
// process and in another, one that was killed, another node id, another format, a file in the way, garbage as a store.
import { existsSync, mkdirSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openTables } from '../../src/context-store/leveldb/tables/tables.ts';
import { openLevelStore } from '../../src/context-store/leveldb.ts';
import type { NodeId } from '../../src/domain/identifiers.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startProcess } from '../../tools/processes.ts';
import { sealedTurn, sessionKey } from '../../tools/turn-records.ts';
import { virtualEnvironment } from '../../tools/virtual-environment.ts';

const WRITER = fileURLToPath(new URL('../support/store-writer.ts', import.meta.url));

let temporary: ReturnType<typeof temporaryFolder>;
let folder: string;
beforeEach(() => {
  temporary = temporaryFolder();
  folder = join(temporary.path, 'deeper', 'data');
});
afterEach(() => temporary.remove());

const open = (nodeId = 'writer', seed = 1) =>
  openLevelStore({ folder, nodeId: nodeId as NodeId, bytesMax: 1_000_000 }, virtualEnvironment({ seed }));

test('a missing folder is made, for its owner alone', async () => {
  const store = await open();
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  await store.close();
});

test('a second opener in the same process is refused until the first closes, and harms nothing', async () => {
  const store = await open();
  await store.append(sealedTurn());
  await expect(open()).rejects.toMatchObject({ code: 'data_dir_in_use', message: expect.stringContaining(folder) });
  await store.append(sealedTurn({ key: sessionKey('other') }));
  await store.close();
  const again = await open();
  expect((await again.status()).records).toBe(2);
  await again.close();
});

test('of openers at the same moment one gets the folder', async () => {
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => open()));
  const opened = outcomes.filter((outcome) => outcome.status === 'fulfilled');
  expect(opened).toHaveLength(1);
  for (const outcome of outcomes)
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'data_dir_in_use' });
  await opened[0]?.value.close();
});

test('another process keeps the folder for itself, and no longer once it is killed', async () => {
  const writer = await startProcess({
    name: 'store-writer',
    command: process.execPath,
    args: ['--import', 'tsx', WRITER, folder, join(temporary.path, 'acks'), 'r', '1'],
  });
  try {
    await writer.waitForLine(/announced/);
    await expect(open()).rejects.toMatchObject({
      code: 'data_dir_in_use',
      message: expect.stringContaining(`process ${writer.pid}`),
    });
  } finally {
    writer.kill('SIGKILL');
    await writer.exited;
  }
  const store = await open();
  expect((await store.status()).records).toBeGreaterThan(0);
  await store.close();
});

test('the incarnation stays while the folder does, and is new when the store is new', async () => {
  const store = await open();
  expect(store.incarnation).toMatch(/^[0-9a-f]{8}$/);
  await store.close();
  const again = await open('writer', 2);
  expect(again.incarnation).toBe(store.incarnation);
  await again.close();
  folder = join(temporary.path, 'fresh');
  const fresh = await open('writer', 2);
  expect(fresh.incarnation).not.toBe(store.incarnation);
  await fresh.close();
});

test("another node's folder is refused with what to do, and stays as it is", async () => {
  await (await open()).close();
  await expect(open('intruder')).rejects.toMatchObject({
    code: 'data_dir_unusable',
    message: expect.stringMatching(/belongs to node writer, this is node intruder.*--node-id writer/),
  });
  await (await open()).close();
});

test('another format version is refused', async () => {
  await (await open()).close();
  const tables = await openTables(join(folder, 'leveldb'));
  const identity = JSON.parse(tables.meta.get(['identity']) ?? '');
  await tables.write(() => tables.meta.put(['identity'], JSON.stringify({ ...identity, formatVersion: 3 })));
  await tables.close();
  await expect(open()).rejects.toMatchObject({
    code: 'data_dir_unusable',
    message: expect.stringContaining('store format 3, this version knows 2'),
  });
});

test('a file where the folder should be is refused', async () => {
  writeFileSync(join(temporary.path, 'deeper'), 'a file');
  await expect(open()).rejects.toMatchObject({ code: 'data_dir_unusable', message: expect.stringContaining(folder) });
});

test.runIf(existsSync('/proc/self'))(
  'a folder where the system makes none is refused, and not tried for ever',
  async () => {
    const nowhere = { folder: '/proc/discedge', nodeId: 'writer' as NodeId, bytesMax: 1_000_000 };
    await expect(openLevelStore(nowhere, virtualEnvironment())).rejects.toMatchObject({ code: 'data_dir_unusable' });
  },
);

test.each([
  ['garbage where an LMDB store should be', 'store', 'data.mdb'],
  ['garbage in the file that says which files count', 'leveldb', 'CURRENT'],
])('%s is refused, and not overwritten', async (_, where, file) => {
  const path = join(folder, where, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, 'this is not a store '.repeat(1_000));
  await expect(open()).rejects.toMatchObject({ code: 'data_dir_unusable', message: expect.stringContaining(folder) });
  expect(statSync(path).size).toBe(20_000);
});

test('a store without the file that says which files count is refused, and nothing of it removed', async () => {
  const store = await open();
  await store.append(sealedTurn());
  await store.close();
  const path = (name: string) => join(folder, 'leveldb', name);
  renameSync(path('CURRENT'), path('moved'));
  const names = readdirSync(path('.'));
  await expect(open()).rejects.toMatchObject({
    code: 'data_dir_unusable',
    message: expect.stringContaining('CURRENT is missing'),
  });
  expect(readdirSync(path('.'))).toEqual(names);
  renameSync(path('moved'), path('CURRENT'));
  const again = await open();
  expect((await again.status()).records).toBe(1);
  await again.close();
});
