// The log by origin inside the LevelDB store: tries to make it number twice, leave holes that nobody can explain, keep
// entries of records that are gone, lose records that were written before there was a log, or move a cursor past
// records that were not taken in.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RecordSource } from '../../../src/context-store/context-store.ts';
import type { OriginLog } from '../../../src/context-store/leveldb/log/origin-log.ts';
import { openReplica, type ReplicaStore } from '../../../src/context-store/leveldb/replica.ts';
import { openTables } from '../../../src/context-store/leveldb/tables/tables.ts';
import { openLevelStore } from '../../../src/context-store/leveldb.ts';
import { LOGS_MAX } from '../../../src/context-store/replication/peers/peer-protocol.ts';
import { forgetEndedLogs, toldLogs } from '../../../src/context-store/replication/peers/told-logs.ts';
import type { ContextId, Incarnation, NodeId } from '../../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../../src/domain/record/record-codec.ts';
import {
  HOUR_MS,
  KEYGROUP,
  sealedTombstone,
  sealedTurn,
  sessionKey,
  type TurnOptions,
  WRITTEN_AT_MS,
} from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const PLENTY_BYTES = 1_000_000_000;
const nodeId = 'node-1' as NodeId;
const OTHER: OriginLog = { origin: 'node-2' as NodeId, incarnation: '00000002' as Incarnation, keygroup: KEYGROUP };

let folder: string;
let replica: ReplicaStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-log-'));
  replica = await openReplica(options(), virtualEnvironment());
});
afterEach(async () => {
  await replica.close();
  await rm(folder, { recursive: true });
});

const options = (bytesMax = PLENTY_BYTES) => ({ folder, nodeId, bytesMax });
const ownLog = (): OriginLog => ({ origin: nodeId, incarnation: replica.incarnation, keygroup: KEYGROUP });
const own = (turn: TurnOptions = {}) => by(ownLog(), sealedTurn(turn));
const by = ({ origin, incarnation }: OriginLog, { record }: SealedRecord) =>
  sealRecord({ ...record, origin, incarnation });
const logged = async (log = ownLog()) =>
  (await replica.readLog(log, { after: 0, limit: 1_000 })).map(({ sequence, hash }) => [sequence, hash]);

async function reopen(bytesMax = PLENTY_BYTES): Promise<void> {
  await replica.close();
  replica = await openReplica(options(bytesMax), virtualEnvironment());
}

test('numbers own records from 1 in the order they were written, each once', async () => {
  const records = Array.from({ length: 50 }, (_, i) => own({ key: sessionKey(`s${i % 7}`), variant: i }));
  await Promise.all(records.map((sealed) => replica.append(sealed)));
  await Promise.all(records.map((sealed) => replica.append(sealed)));
  expect(await logged()).toEqual(records.map(({ hash }, i) => [i + 1, hash]));
  expect(replica.positionOf(records[9]?.hash as SealedRecord['hash'], KEYGROUP)).toEqual({
    log: ownLog(),
    sequence: 10,
  });
  const entry = (await replica.readLog(ownLog(), { after: 9, limit: 1 }))[0];
  expect(replica.logEntry(ownLog(), 10)).toEqual(entry);
  expect(replica.logEntry(ownLog(), 51)).toBeUndefined();
  expect(entry && Buffer.from(replica.recordBytes(entry) ?? [])).toEqual(Buffer.from(records[9]?.bytes ?? []));
});

test("leaves other nodes' records unnumbered when they are appended here", async () => {
  await replica.append(by(OTHER, sealedTurn()));
  expect(await replica.logs()).toEqual([]);
});

test('keeps each keygroup in a log of its own', async () => {
  const elsewhere = own({ key: sessionKey('s', 'u', 'ffffffffffffffff') });
  await replica.append(own());
  await replica.append(elsewhere);
  const { keygroup } = elsewhere.record;
  expect(await logged({ ...ownLog(), keygroup })).toEqual([[1, elsewhere.hash]]);
  // Of two keygroups one node has, only the record's own tells where it is.
  expect(replica.positionOf(elsewhere.hash, keygroup)).toEqual({ log: { ...ownLog(), keygroup }, sequence: 1 });
  expect(replica.positionOf(elsewhere.hash, KEYGROUP)).toBeUndefined();
});

test('drops entries with their records, and never gives a number out again', async () => {
  const [kept, deleted, expired] = [
    own({ key: sessionKey('a') }),
    own({ key: sessionKey('b') }),
    own({ key: sessionKey('c'), expiresAtMs: WRITTEN_AT_MS + 1 }),
  ];
  for (const sealed of [kept, deleted, expired]) await replica.append(sealed);
  const tombstone = by(ownLog(), sealedTombstone({ key: sessionKey('b') }));
  await replica.append(tombstone);
  await replica.expire(WRITTEN_AT_MS + 2);
  expect(await logged()).toEqual([
    [1, kept.hash],
    [4, tombstone.hash],
  ]);
  expect(replica.positionOf(deleted.hash, KEYGROUP)).toBeUndefined();
  await replica.expire(WRITTEN_AT_MS + 1000 * HOUR_MS);
  expect(await logged()).toEqual([]);
  await reopen();
  expect(replica.cursor(ownLog()).sequence).toBe(4);
  await replica.append(own({ key: sessionKey('d') }));
  expect((await logged()).map(([sequence]) => sequence)).toEqual([5]);
});

test('a turn and the tombstone of its session in one commit leave the tombstone', async () => {
  const tombstone = by(ownLog(), sealedTombstone());
  await Promise.all([replica.append(own()), replica.append(tombstone)]);
  expect(await logged()).toEqual([[2, tombstone.hash]]);
});

test('evicted sessions leave the log', async () => {
  const records = Array.from({ length: 40 }, (_, i) => own({ key: sessionKey(`s${i}`), replyTokens: 500 }));
  await reopen((records[0]?.bytes.length as number) * 10);
  for (const sealed of records) await replica.append(by(ownLog(), sealed));
  const { records: held } = await replica.status();
  expect(await logged()).toHaveLength(held);
  expect((await logged()).at(-1)?.[0]).toBe(40);
});

test('records written without a log are logged when there is one, and then even without asking', async () => {
  const plainFolder = join(folder, 'plain');
  const plain = await openLevelStore({ ...options(), folder: plainFolder }, virtualEnvironment());
  const log = { origin: nodeId, incarnation: plain.incarnation, keygroup: KEYGROUP };
  const records = Array.from({ length: 5 }, (_, i) => by(log, sealedTurn({ key: sessionKey(`s${i}`) })));
  for (const sealed of records.slice(0, 3)) await plain.append(sealed);
  await plain.close();
  for (const [openStore, sealed] of [
    [openReplica, records[3]],
    [openLevelStore, records[4]],
  ] as const) {
    const store = await openStore({ ...options(), folder: plainFolder }, virtualEnvironment());
    await store.append(sealed as SealedRecord);
    await store.close();
  }
  const again = await openReplica({ ...options(), folder: plainFolder }, virtualEnvironment());
  expect((await again.readLog(log, { after: 0, limit: 10 })).map(({ hash }) => hash)).toEqual(
    records.map(({ hash }) => hash),
  );
  await again.close();
});

test('received records, their log and its cursor become durable together', async () => {
  const records = [1, 2, 3].map((i) => ({ sequence: i, sealed: by(OTHER, sealedTurn({ key: sessionKey(`s${i}`) })) }));
  const from = { sequence: 0, streamSequence: 0 };
  const to = { sequence: 3, streamSequence: 7 };
  const told: [ContextId, RecordSource][] = [];
  replica.onRecord(({ hash }, source) => void told.push([hash, source]));
  expect(await replica.receive({ log: OTHER, records, from, to })).toBe(true);
  expect(told).toEqual(records.map(({ sealed }) => [sealed.hash, 'elsewhere']));
  await reopen();
  expect(replica.cursor(OTHER)).toEqual(to);
  expect(await replica.logs()).toEqual([{ log: OTHER, cursor: to, last: 3, evictedThrough: 0 }]);
  expect((await logged(OTHER)).map(([sequence]) => sequence)).toEqual([1, 2, 3]);
  replica.onRecord(({ hash }, source) => void told.push([hash, source]));
  expect(await replica.receive({ log: OTHER, records, from: to, to })).toBe(true);
  expect(told).toHaveLength(3);
});

test('what an earlier build has evicted is noted once, of each log through the last that is missing', async () => {
  const turns = (log: OriginLog, name: string) =>
    Array.from({ length: 6 }, (_, i) => by(log, sealedTurn({ key: sessionKey(`${name}${i + 1}`) })));
  const start = { sequence: 0, streamSequence: 0 };
  const take = (log: OriginLog, sequences: readonly number[], through: number) => {
    const sealed = turns(log, log.origin);
    const records = sequences.map((sequence) => ({ sequence, sealed: sealed[sequence - 1] as SealedRecord }));
    return replica.receive({ log, records, from: start, to: { ...start, sequence: through } });
  };
  const [whole, empty] = ['node-3', 'node-4'].map((id) => ({ ...OTHER, origin: id as NodeId })) as [
    OriginLog,
    OriginLog,
  ];
  const ahead = { ...OTHER, origin: 'node-5' as NodeId };
  for (const sealed of turns(ownLog(), 'own')) await replica.append(sealed);
  await replica.append(by(ownLog(), sealedTombstone({ key: sessionKey('own2') })));
  await take(OTHER, [1, 2, 4, 6], 6);
  await take(whole, [1, 2, 3], 3);
  await take(empty, [], 5);
  await take(ahead, [1, 2], 2);
  const later = turns(ahead, ahead.origin)[4] as SealedRecord;
  await replica.receiveFetched(ahead, [{ sequence: 5, sealed: later }], { areUsed: false });
  const noted = () => [ownLog(), OTHER, whole, empty, ahead].map((log) => replica.evictedThrough(log));
  await reopen();
  expect(noted()).toEqual([0, 0, 0, 0, 0]);

  await asEarlierBuildsLeftIt();
  expect(noted()).toEqual([2, 5, 0, 5, 0]);
  const { logs } = await toldLogs(replica, () => true);
  expect(logs).toContainEqual({ log: OTHER, last: 6, evictedThrough: 5 });

  await replica.append(by(ownLog(), sealedTombstone({ key: sessionKey('own4') })));
  await reopen();
  expect(noted()).toEqual([2, 5, 0, 5, 0]);
});

/** Earlier builds evicted and noted nothing of it. */
async function asEarlierBuildsLeftIt(): Promise<void> {
  await replica.close();
  const tables = await openTables(join(folder, 'leveldb'));
  await tables.write(() => tables.meta.remove(['evictions-noted']));
  await tables.close();
  replica = await openReplica(options(), virtualEnvironment());
}

test('of what was refused it is told that it is not here, of other holes not', async () => {
  const sealed = (sequence: number) => by(OTHER, sealedTurn({ key: sessionKey(`s${sequence}`) }));
  const start = { sequence: 0, streamSequence: 0 };
  const records = [1, 3].map((sequence) => ({ sequence, sealed: sealed(sequence) }));
  await replica.receiveFetched(OTHER, [{ sequence: 5, sealed: sealed(5) }], { areUsed: false });
  // The fourth is gone, the fifth is here from elsewhere, the seventh is yet to come.
  const to = { ...start, sequence: 6 };
  await replica.receive({ log: OTHER, records, refused: [2, 5, 7], from: start, to });
  expect(replica.evictedThrough(OTHER)).toBe(2);
  await replica.receive({ log: OTHER, records: [], refused: [7], from: to, to: { ...start, sequence: 8 } });
  expect(replica.evictedThrough(OTHER)).toBe(7);
  await reopen();
  expect(replica.evictedThrough(OTHER)).toBe(7);
});

test('a batch that does not begin at the cursor changes nothing', async () => {
  const records = [{ sequence: 5, sealed: by(OTHER, sealedTurn()) }];
  const [from, to] = [4, 5].map((sequence) => ({ sequence, streamSequence: sequence }));
  expect(await replica.receive({ log: OTHER, records, from: from as never, to: to as never })).toBe(false);
  expect(replica.cursor(OTHER).sequence).toBe(0);
  expect(await replica.read(sessionKey())).toBeUndefined();
});

test('a late turn of a deleted session is left out and its number settled', async () => {
  await replica.append(by(ownLog(), sealedTombstone()));
  const records = [{ sequence: 1, sealed: by(OTHER, sealedTurn()) }];
  const from = { sequence: 0, streamSequence: 0 };
  const told: ContextId[] = [];
  replica.onRecord(({ hash }) => void told.push(hash));
  expect(await replica.receive({ log: OTHER, records, from, to: { sequence: 1, streamSequence: 1 } })).toBe(true);
  expect(told).toEqual([]);
  expect(replica.cursor(OTHER).sequence).toBe(1);
  expect((await replica.read(sessionKey()))?.deleted).toBe(true);
  expect(await logged(OTHER)).toEqual([]);
});

test('a log of a disk that is gone is told of for as long as there is a record of it, after the current ones, and then forgotten', async () => {
  const isCurrent = ({ incarnation }: OriginLog) => incarnation === replica.incarnation;
  await replica.append(own());
  const expiring = by(OTHER, sealedTurn({ key: sessionKey('old'), expiresAtMs: WRITTEN_AT_MS + HOUR_MS }));
  const start = { sequence: 0, streamSequence: 0 };
  await replica.receive({
    log: OTHER,
    records: [{ sequence: 1, sealed: expiring }],
    from: start,
    to: { ...start, sequence: 1 },
  });
  const disks = Array.from({ length: LOGS_MAX }, (_, i) => ({
    ...OTHER,
    incarnation: (0x10000000 + i).toString(16) as Incarnation,
  }));
  await Promise.all(
    disks.map((log) => replica.receive({ log, records: [], from: start, to: { ...start, sequence: 1 } })),
  );
  expect(await toldLogs(replica, isCurrent)).toEqual({
    logs: [ownLog(), OTHER].map((log) => ({ log, last: 1 })),
    logsLeftOut: 0,
  });
  expect(await toldLogs(replica, () => true)).toMatchObject({ logsLeftOut: 2 });

  await forgetEndedLogs(replica, isCurrent);
  expect((await replica.logs()).map(({ log }) => log)).toEqual(expect.arrayContaining([ownLog(), OTHER]));
  expect(await replica.logs()).toHaveLength(2);
  await replica.expire(WRITTEN_AT_MS + 2 * HOUR_MS);
  await forgetEndedLogs(replica, isCurrent);
  expect((await replica.logs()).map(({ log }) => log)).toEqual([ownLog()]);
  await reopen();
  expect((await replica.logs()).map(({ log }) => log)).toEqual([ownLog()]);
});
