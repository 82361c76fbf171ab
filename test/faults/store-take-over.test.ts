// Tries to lose or change something when a data folder of an earlier version, with LMDB, is taken over: a folder that such a
// version wrote, killed at every sync of it, begun once before, another node's, in use, a second store beside it.
import { existsSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import { openTables, recordKey } from '../../src/context-store/leveldb/tables/tables.ts';
import type { Incarnation, NodeId } from '../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../src/domain/record/record-codec.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startProcess } from '../../tools/processes.ts';
import {
  HOUR_MS,
  KEYGROUP,
  sealedLine,
  sealedTombstone,
  sealedTurn,
  sessionKey,
  WRITTEN_AT_MS,
} from '../../tools/turn-records.ts';
import { virtualEnvironment } from '../../tools/virtual-environment.ts';
import { failingDisk } from '../support/failing-disk.ts';

const PROGRAM = fileURLToPath(new URL('../support/store-taken-over.ts', import.meta.url));
/** Written by commit 8c0a8ce, as `expectAll` has it. */
const DATA = gunzipSync(readFileSync(new URL('../data/lmdb-data.mdb.gz', import.meta.url)));
const INCARNATION = '51e4e613' as Incarnation;
const OWN_LOG = { origin: 'node-1' as NodeId, incarnation: INCARNATION, keygroup: KEYGROUP };
const PEERS_LOG = { origin: 'peer' as NodeId, incarnation: '00000001' as Incarnation, keygroup: KEYGROUP };

const temporary = temporaryFolder();
afterAll(() => temporary.remove());
const { path: library, whyNot } = failingDisk(temporary.path);

let folder: string;
let folders = 0;
beforeEach(() => newFolder());

function newFolder(): void {
  folder = join(temporary.path, `data-${folders++}`);
  mkdirSync(join(folder, 'store'), { recursive: true });
  writeFileSync(dataFile(), DATA);
}

const dataFile = () => join(folder, 'store', 'data.mdb');
const open = (nodeId = 'node-1') =>
  openReplica({ folder, nodeId: nodeId as NodeId, bytesMax: 1_000_000_000 }, virtualEnvironment());
const by = ({ origin, incarnation }: typeof OWN_LOG, { record }: SealedRecord) =>
  sealRecord({ ...record, origin, incarnation });

/** Opens the store, in which everything is as it was in LMDB, and closes it. */
async function expectAll(): Promise<void> {
  const store = await open();
  const stored = async (key = sessionKey()) => (await store.read(key))?.records.map((sealed) => sealed.hash);
  const own = sealedLine(12, { replyTokens: 40 }).map((sealed) => by(OWN_LOG, sealed));
  expect(store.incarnation).toBe(INCARNATION);
  expect(await stored()).toEqual(own.map(({ hash }) => hash));
  const long = sealedLine(3, { key: sessionKey('long', '\u00e9'), replyTokens: 3_000 });
  expect(await stored(sessionKey('long', '\u00e9'))).toEqual(long.map(({ hash }) => hash));
  expect(await store.read(sessionKey('deleted'))).toMatchObject({
    deleted: true,
    records: [{ record: { kind: 'tombstone' } }],
    corrupt: 0,
  });
  const theirs = by(PEERS_LOG, sealedTurn({ key: sessionKey('theirs') }));
  expect(await stored(sessionKey('theirs'))).toEqual([theirs.hash]);
  const { sessions } = await store.list({ keygroup: KEYGROUP, limit: 10, nowMs: WRITTEN_AT_MS });
  expect(sessions.map(({ key }) => key.sessionId)).toEqual(['session', 'short-lived', 'theirs', 'long']);
  expect(await store.status()).toMatchObject({ sessions: 4, records: 18, corruptRecords: 0 });

  // Which of the other node's records are gone, and why, LMDB's store did not say.
  expect(await store.logs()).toEqual([
    { log: OWN_LOG, cursor: { sequence: 12, streamSequence: 0 }, last: 12, evictedThrough: 0 },
    { log: PEERS_LOG, cursor: { sequence: 7, streamSequence: 9 }, last: 7, evictedThrough: 7 },
  ]);
  expect((await store.readLog(OWN_LOG, { after: 0, limit: 100 })).map(({ hash }) => hash)).toEqual(
    own.map(({ hash }) => hash),
  );
  expect(store.positionOf(theirs.hash, KEYGROUP)).toEqual({ log: PEERS_LOG, sequence: 4 });
  expect(store.noted('place')).toBe('here');
  await store.close();
  expect(existsSync(join(folder, 'store'))).toBe(false);
}

test('a folder is taken over once, whole, and goes on from there', async () => {
  await expectAll();
  await expectAll();
  const store = await open();
  const next = by(OWN_LOG, sealedTurn({ key: sessionKey('next') }));
  await store.append(next);
  expect(store.positionOf(next.hash, KEYGROUP)?.sequence).toBe(13);
  await expect(store.append(sealedTurn({ key: sessionKey('deleted') }))).rejects.toMatchObject({
    code: 'session_deleted',
  });
  expect(await store.expire(WRITTEN_AT_MS + 2 * HOUR_MS)).toBe(1);
  expect(await store.read(sessionKey('short-lived'))).toBeUndefined();
  await store.append(sealedTombstone());
  expect((await store.read(sessionKey()))?.deleted).toBe(true);
  await store.close();
});

test('killed at any sync, it begins anew, and nothing is lost', { timeout: 240_000 }, async (context) => {
  if (whyNot !== undefined) context.skip(whyNot);
  let kills = 0;
  for (let isWhole = false; !isWhole; kills++) {
    newFolder();
    const program = await startProcess({
      name: 'store-taken-over',
      command: process.execPath,
      args: ['--import', 'tsx', PROGRAM, folder],
      env: { LD_PRELOAD: library, KILL_AT_SYNC: String(kills + 1) },
    });
    const { signal } = await program.exited;
    isWhole = signal === null;
    await expectAll();
  }
  expect(kills).toBeGreaterThan(8);
});

test('what an earlier try has left behind is not taken for a part of it', async () => {
  const tables = await openTables(join(folder, 'leveldb'));
  const left = sealedTurn({ key: sessionKey('left') });
  await tables.write(() => tables.records.put(recordKey(left), left.bytes));
  await tables.close();
  await expectAll();
  const store = await open();
  expect(await store.read(sessionKey('left'))).toBeUndefined();
  await store.close();
});

test("another node's folder is refused, and stays as it is", async () => {
  await expect(open('intruder')).rejects.toMatchObject({
    code: 'data_dir_unusable',
    message: expect.stringContaining('belongs to node node-1'),
  });
  expect(readFileSync(dataFile()).equals(DATA)).toBe(true);
  await expectAll();
});

test('a folder that an earlier version has open is refused until that ends', async () => {
  const holder = await startProcess({
    name: 'holder',
    command: process.execPath,
    args: ['-e', 'console.log("runs"); setInterval(() => {}, 1e6)'],
  });
  try {
    await holder.waitForLine(/runs/);
    writeFileSync(join(folder, 'lock'), `${holder.pid}\n`);
    await expect(open()).rejects.toMatchObject({
      code: 'data_dir_in_use',
      message: expect.stringContaining(`process ${holder.pid}`),
    });
  } finally {
    holder.kill('SIGKILL');
    await holder.exited;
  }
  await expectAll();
});

test('a store that an earlier version has made beside the one taken over is not removed', async () => {
  await expectAll();
  mkdirSync(join(folder, 'store'));
  writeFileSync(dataFile(), DATA);
  utimesSync(dataFile(), 1, 1);
  await expect(open()).rejects.toMatchObject({
    code: 'data_dir_unusable',
    message: expect.stringContaining('move one of them away'),
  });
  expect(statSync(dataFile()).size).toBe(DATA.length);
});
