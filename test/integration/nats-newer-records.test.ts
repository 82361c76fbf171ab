// Records of a version that no build reads yet, in a real stream and behind other nodes: tries to have one passed over, taken
// for damage, or held against everything else that its node, or another one, has to share.
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import type { ContextId, Incarnation, NodeId } from '../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../src/domain/record/record-codec.ts';
import { RECORD_FORMAT_VERSION } from '../../src/domain/record/record-version.ts';
import { KEYGROUP, sealedTurn, sessionKey, turnRecord } from '../../tools/turn-records.ts';
import { type Cluster, type StoreNode, startCluster } from '../support/nats-cluster.ts';
import { eventually } from '../support/sharing-store-node.ts';

const NEWER = RECORD_FORMAT_VERSION + 1;

let cluster: Cluster;
beforeEach(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  await cluster.end();
});

/** The record as a later build might write it: what it holds is no matter, version and checksum are where they always are. */
function newer({ record, bytes }: SealedRecord): SealedRecord {
  const canonical = Buffer.concat([Buffer.of(NEWER), bytes.subarray(1, -4)]);
  const digest = createHash('sha256').update(canonical).digest();
  const hash = digest.toString('hex', 0, 16) as ContextId;
  return { record, bytes: Buffer.concat([canonical, digest.subarray(16, 20)]), hash };
}

/** The first turn of session `newer`, of a later build on A's disk. */
async function writeNewer(a: StoreNode): Promise<SealedRecord> {
  const record = { ...turnRecord({ key: sessionKey('newer') }), origin: a.id, incarnation: a.store.incarnation };
  const sealed = newer(sealRecord(record));
  await a.store.append(sealed);
  return sealed;
}

const upgradesAskedFor = ({ environment }: StoreNode) =>
  environment.logLines.filter(({ event }) => event === 'record_needs_upgrade');

/** How often, and why, `node` has begun anew to read the stream of `origin`. */
const restarts = ({ environment }: StoreNode, origin: StoreNode) =>
  environment.logLines
    .filter(({ event, fields }) => event === 'pull_restarted' && fields.stream === origin.stream)
    .map(({ fields }) => fields);

test('a log waits at a newer record, the node says so, and everything else goes on', async () => {
  const [a, b, c] = (await cluster.open('a', 'b', 'c')) as [StoreNode, StoreNode, StoreNode];
  const before = await a.write({ key: sessionKey('before') });
  // B reads the stream; before that it may have looked for it too early.
  await b.eventuallyHolds([before]);
  const restartsBefore = restarts(b, a).length;
  const { record } = await writeNewer(a);
  const after = await a.writeMany(3, 'after');
  await eventually(() =>
    expect(b.peer(a)).toMatchObject({
      state: 'connected',
      needsRecordVersion: NEWER,
      reason: expect.stringContaining('needs upgrade'),
      logs: [{ cursor: 1 }],
    }),
  );
  await eventually(() => expect(b.peer(a).logs[0]?.lag).toBeGreaterThan(0));
  const [own, others] = [await b.writeMany(5, 'own'), await c.writeMany(5, 'others')];
  await Promise.all([a.eventuallyHolds([...own, ...others]), b.eventuallyHolds([before, ...others])]);
  await c.eventuallyHolds([before, ...own]);
  for (const { record: late } of after) expect(await b.store.read(late)).toBeUndefined();
  expect(await b.store.read(record)).toBeUndefined();
  expect(b.peer(a)).toMatchObject({ refusedRecords: {}, logs: [{ cursor: 1 }] });
  expect(upgradesAskedFor(b)).toMatchObject([{ level: 'error', fields: { origin: 'a', sequence: 2, version: NEWER } }]);

  // It is not asked for over and over.
  expect(restarts(b, a).slice(restartsBefore)).toMatchObject([{ why: expect.stringContaining('version') }]);

  // Nor does a new connection, or a start of either, get past it.
  await b.close();
  await a.close();
  await a.open([b, c]);
  await b.open([a, c]);
  await eventually(() => expect(b.peer(a)).toMatchObject({ needsRecordVersion: NEWER, logs: [{ cursor: 1 }] }));
});

test('a log goes on once its newer record is gone', async () => {
  const a = await cluster.node('a');
  const b = await cluster.node('b', { clockSpeed: 1_000 });
  await a.open([b]);
  await b.open([a]);
  await writeNewer(a);
  const after = await a.writeMany(3, 'after');
  await eventually(() => expect(b.peer(a).needsRecordVersion).toBe(NEWER));
  const gone = await a.delete(sessionKey('newer'));
  await b.eventuallyHolds([...after, gone]);
  await eventually(() => expect(b.peer(a)).toMatchObject({ state: 'connected', needsRecordVersion: undefined }));
});

test('what another node hands out of a log that is held there is taken up to the newer record, and it stays connected', async () => {
  const [b, c] = [await cluster.node('b'), await cluster.node('c')];
  const log = { origin: 'a' as NodeId, incarnation: '0000000a' as Incarnation, keygroup: KEYGROUP };
  const written = (session: string) => ({ ...sealedTurn({ key: sessionKey(session) }).record, ...log });
  const [first, last] = [sealRecord(written('first')), sealRecord(written('last'))];
  const records = [first, newer(sealRecord(written('newer'))), last];
  const replica = await openReplica({ folder: c.storeFolder, nodeId: c.id, bytesMax: 1e9 }, c.environment);
  await replica.receive({
    log,
    records: records.map((sealed, index) => ({ sequence: index + 1, sealed })),
    from: replica.cursor(log),
    to: { sequence: 3, streamSequence: 3 },
  });
  await replica.close();
  await c.open([b]);
  await b.open([c]);
  await b.eventuallyHolds([first]);
  await eventually(() => expect(upgradesAskedFor(b)).toMatchObject([{ fields: { origin: 'a', sequence: 2 } }]));
  const own = await c.writeMany(3, 'own');
  await b.eventuallyHolds(own);
  expect(b.peer(c)).toMatchObject({ state: 'connected', refusedRecords: {} });
  expect(await b.holds([last])).toBe(false);
});

test('a node that went back to an older build says so of the session, and serves the others', async () => {
  const [a] = (await cluster.open('a')) as [StoreNode];
  const other = await a.write({ key: sessionKey('other') });
  const { record } = await writeNewer(a);
  await expect(a.store.read(record)).rejects.toMatchObject({
    code: 'store_unavailable',
    message: expect.stringContaining(`record version ${NEWER}`),
  });
  expect(await a.holds([other])).toBe(true);
  expect(await a.store.status()).toMatchObject({ corruptRecords: 0 });
});
