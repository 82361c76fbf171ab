// What the double of FReD loses, refuses and dies of, and that no record goes with it.
import { cp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { recordId, recordsKeygroup } from '../../src/context-store/fred/names.ts';
import { FredClient } from '../../src/context-store/fred/wire/fred-client.ts';
import { readFredTls } from '../../src/context-store/fred/wire/fred-tls.ts';
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import type { ClusterName } from '../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import type { FredDouble } from '../../tools/fred-double/fred-double.ts';
import { KEYGROUP, sessionKey } from '../../tools/turn-records.ts';
import { type FredCluster, type FredStoreNode, startFredCluster, startFredDoubles } from '../support/fred-cluster.ts';
import { eventually } from '../support/sharing-store-node.ts';

const { clock } = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
let nodes: Awaited<ReturnType<typeof startFredDoubles>>;
let cluster: FredCluster;

beforeEach(async () => {
  nodes = await startFredDoubles();
  cluster = await startFredCluster(nodes);
});
afterEach(async () => {
  await cluster.end();
  await nodes.close();
});

const double = (place: number) => nodes.doubles.nodes[place] as FredDouble;
const connected = (node: FredStoreNode) => node.store.sharing.status().transport;
const records = () => recordsKeygroup(cluster.name as ClusterName, KEYGROUP);

async function clientOf(certificate: 'node' | 'fred', place = 0): Promise<FredClient> {
  const folder = join(nodes.doubles.certificates, double(place).nodeId);
  const [certFile, keyFile] = [join(folder, `${certificate}.crt`), join(folder, `${certificate}.key`)];
  const tls = await readFredTls({ caFile: join(folder, 'ca.crt'), certFile, keyFile });
  return new FredClient({ host: double(place).host, tls, clock });
}

test('certificates of another authority: the node serves alone and says why', async () => {
  const others = await startFredDoubles();
  try {
    const a = cluster.node('a', 0);
    await a.open({ tls: others.tls });
    const record = await a.write();
    expect(await a.holds([record])).toBe(true);
    await eventually(() =>
      expect(connected(a)).toMatchObject({
        connected: false,
        reason: expect.stringMatching(/certificate|unreachable/i),
      }),
    );
    expect(a.store.sharing.status().outbox).toMatchObject([{ last: 1, published: 0 }]);
  } finally {
    await others.close();
  }
});

test('a keygroup that somebody else has made: the node serves alone and says whose it is', async () => {
  const stranger = await clientOf('fred', 1);
  await stranger.createKeygroup({ keygroup: records(), expirySeconds: 60 });
  const a = cluster.node('a', 0);
  await a.open();
  const record = await a.write();
  expect(await a.holds([record])).toBe(true);
  await eventually(() =>
    expect(connected(a)).toMatchObject({ connected: false, reason: expect.stringContaining(records()) }),
  );
  stranger.close();
});

test('a record that no message can carry stays here, is told of, and holds nothing up', async () => {
  const [a, b] = await cluster.open('a', 'b');
  const key = sessionKey('long');
  const long = await a?.write({ key, replyTokens: 1_200_000 });
  const short = await a?.write({ key: sessionKey('short') });
  await b?.eventuallyHolds([short as never]);
  expect(a?.store.sharing.status().outbox).toMatchObject([{ last: 2, published: 2, uncarried: 1 }]);
  expect(await a?.holds([long as never])).toBe(true);
  // The other is past both.
  const { sharing } = (a as FredStoreNode).store;
  const { signal } = new AbortController();
  expect(await sharing.awaitReplicated((short as SealedRecord).hash, 30_000, signal)).toBe(1);
  expect(await sharing.awaitReplicated((long as SealedRecord).hash, 30_000, signal)).toBe(0);
  expect(await sharing.onlyHere()).toEqual([{ keygroup: KEYGROUP, records: 1 }]);
});

test('etcd is down at the start, and comes', async () => {
  nodes.doubles.naming.isDown = true;
  const a = cluster.node('a', 0);
  await a.open();
  const record = await a.write();
  expect(await a.holds([record])).toBe(true);
  await eventually(() => expect(connected(a).reason).toBeDefined());
  nodes.doubles.naming.isDown = false;
  const b = cluster.node('b', 1);
  await b.open();
  await b.eventuallyHolds([record]);
});

test('etcd goes down later: what is known goes on', async () => {
  const [a, b] = await cluster.open('a', 'b');
  nodes.doubles.naming.isDown = true;
  await b?.eventuallyHolds(await (a as FredStoreNode).writeMany(5));
});

test('triggers are lost: a scan brings what they did not tell of', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [FredStoreNode, FredStoreNode];
  // What greetings told of is here, and the next one is far.
  await b.eventuallyHolds(await a.writeMany(1, 'told-of'));
  await eventually(() => expect(b.peer('a').logs).toMatchObject([{ cursor: 1, lag: 0 }]));
  double(1).loseTriggers(true);
  await b.eventuallyHolds(await a.writeMany(20));
});

test("this node's FReD node is killed and starts wiped: what it has lost is given again, and what comes is told of", async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [FredStoreNode, FredStoreNode];
  const before = await a.writeMany(10, 'before');
  await b.eventuallyHolds(before);
  double(0).kill();
  const meanwhile = await a.writeMany(10, 'meanwhile');
  expect(await a.holds(meanwhile)).toBe(true);
  const ofB = await b.writeMany(3, 'of-b');
  double(0).wipe();
  await double(0).start();
  await b.eventuallyHolds(meanwhile);
  await a.eventuallyHolds(ofB);
  const client = await clientOf('node');
  const log = { origin: a.id, incarnation: a.store.incarnation, keygroup: KEYGROUP };
  await eventually(async () => {
    const items = await client.scan({ keygroup: records(), id: recordId(log, 0), count: 100 });
    expect(items.filter(({ id }) => id.startsWith(recordId(log, 0).slice(0, 10)))).toHaveLength(21);
  });
  client.close();
  await a.eventuallyHolds(await b.writeMany(3, 'after'));
});

test('all FReD nodes lose everything: nothing is lost, and a newcomer gets it all', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [FredStoreNode, FredStoreNode];
  const ofA = await a.writeMany(10, 'a');
  const ofB = await b.writeMany(10, 'b');
  await Promise.all([a.eventuallyHolds(ofB), b.eventuallyHolds(ofA)]);
  for (const node of nodes.doubles.nodes) node.kill();
  for (const node of nodes.doubles.nodes) node.wipe();
  for (const node of nodes.doubles.nodes) await node.start();
  const c = cluster.node('c', 2);
  await c.open();
  await c.eventuallyHolds([...ofA, ...ofB]);
});

test('records of a node that is gone, its FReD node too, come from whoever holds them', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [FredStoreNode, FredStoreNode];
  const ofA = await a.writeMany(10);
  await b.eventuallyHolds(ofA);
  await a.close();
  for (const node of nodes.doubles.nodes) node.kill();
  for (const node of nodes.doubles.nodes) node.wipe();
  for (const node of nodes.doubles.nodes.slice(1)) await node.start();
  const c = cluster.node('c', 2);
  await c.open();
  await c.eventuallyHolds(ofA);
});

test('a cut node catches up, and so do the others', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [FredStoreNode, FredStoreNode];
  double(0).cut();
  const ofA = await a.writeMany(10, 'a');
  const ofB = await b.writeMany(10, 'b');
  // Noticed when it is asked: while all is well, peers greet each other every five minutes.
  await eventually(async () => {
    await b.store.sharing.refresh();
    expect(b.peer('a').state).not.toBe('connected');
  });
  await double(0).heal();
  await Promise.all([a.eventuallyHolds(ofB), b.eventuallyHolds(ofA)]);
  await Promise.all([a.eventuallyConnected(b), b.eventuallyConnected(a)]);
});

test('a deleted session leaves no text in FReD, whoever deletes it', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [FredStoreNode, FredStoreNode];
  const key = sessionKey('secret');
  const first = await a.write({ key });
  const second = await a.write({ key, parent: first });
  await b.eventuallyHolds([second]);
  await b.delete(key);
  const log = { origin: a.id, incarnation: a.store.incarnation, keygroup: KEYGROUP };
  for (const place of [0, 1]) {
    const client = await clientOf('node', place);
    await eventually(async () => {
      for (const sequence of [1, 2])
        expect(await client.read({ keygroup: records(), id: recordId(log, sequence) })).toMatchObject([{ value: '0' }]);
    });
    client.close();
  }
  expect(await a.store.read(key)).toMatchObject({ deleted: true });
});

test('what was deleted right before a stop leaves no text, though nothing is written after the start', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [FredStoreNode, FredStoreNode];
  const key = sessionKey('secret');
  await b.eventuallyHolds([await a.write({ key: sessionKey('kept') }), await a.write({ key })]);
  const log = { origin: a.id, incarnation: a.store.incarnation, keygroup: KEYGROUP };
  await a.close();
  const deletion = await b.delete(key);
  const replica = await openReplica({ folder: a.folder, nodeId: a.id, bytesMax: 1_000_000_000 }, a.environment);
  replica.rememberDeleted();
  const { origin, incarnation } = deletion.record;
  const ofB = { origin, incarnation, keygroup: KEYGROUP };
  await replica.receiveFetched(ofB, [{ sequence: 1, sealed: deletion }], { areUsed: true });
  expect(await replica.deletedRecords(KEYGROUP, { after: 0, limit: 10 })).toEqual([2]);
  await replica.close();
  await a.open();
  const client = await clientOf('node');
  await eventually(async () =>
    expect(await client.read({ keygroup: records(), id: recordId(log, 2) })).toMatchObject([{ value: '0' }]),
  );
  client.close();
});

test('what is written on an older copy of a disk reaches the others, under numbers of its own', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [FredStoreNode, FredStoreNode];
  const before = await a.writeMany(3, 'before');
  await b.eventuallyHolds(before);
  await a.close();
  const copy = `${a.folder}-copy`;
  await cp(a.folder, copy, { recursive: true });
  await a.open();
  await b.eventuallyHolds(await a.writeMany(5, 'forgotten'));
  // An id that anybody may write.
  const log = { origin: a.id, incarnation: a.store.incarnation, keygroup: KEYGROUP };
  const client = await clientOf('node');
  await client.update({ keygroup: records(), id: recordId(log, 36 ** 10 - 1), value: 'forged' });
  client.close();
  await a.close();
  await rm(a.folder, { recursive: true });
  await rename(copy, a.folder);
  nodes.doubles.naming.isDown = true;
  await a.open();
  const early = await a.writeMany(2, 'early');
  nodes.doubles.naming.isDown = false;
  await b.eventuallyHolds(early);
  const later = await a.writeMany(2, 'later');
  await b.eventuallyHolds(later);
  expect(a.store.sharing.status().outbox).toMatchObject([{ last: 12 }]);
});

test('a node whose disk was wiped gets its own records back, and goes on under another incarnation', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [FredStoreNode, FredStoreNode];
  const before = await a.writeMany(5, 'before');
  await b.eventuallyHolds(before);
  const { incarnation } = a.store;
  await a.close();
  await a.wipeReplica();
  await a.open();
  expect(a.store.incarnation).not.toBe(incarnation);
  await a.eventuallyHolds(before);
  await b.eventuallyHolds(await a.writeMany(5, 'after'));
});

test('how many nodes have a record is told, and a session is fetched when it is asked for', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [FredStoreNode, FredStoreNode];
  const { signal } = new AbortController();
  const record = await a.write({ key: sessionKey('one') });
  expect(await a.store.sharing.awaitReplicated(record.hash, 30_000, signal)).toBe(1);
  await a.store.sharing.refresh();
  expect(await a.store.sharing.onlyHere()).toEqual([]);
  double(1).kill();
  const lonely = await a.write({ key: sessionKey('two') });
  expect(await a.store.sharing.awaitReplicated(lonely.hash, 50, signal)).toBe(0);
  expect(await a.store.sharing.onlyHere()).toEqual([{ keygroup: KEYGROUP, records: 1 }]);
  expect(await b.store.sharing.fetch?.(sessionKey('two'), { waitMs: 100, signal })).toBe(0);
});

test('a second node under one id is refused', async () => {
  const [a] = (await cluster.open('a')) as [FredStoreNode];
  const twin = cluster.node('a', 1);
  const b = cluster.node('b', 2);
  await b.open();
  await b.eventuallyConnected(a);
  await twin.open();
  await eventually(() => expect(b.store.sharing.status().refusedNodes).toMatchObject({ a: 'duplicate_node_id' }));
});
