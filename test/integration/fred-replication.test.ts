// Edge nodes' stores, each with a FReD node of its own: what one writes is at the others, in order, whoever comes when.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { KeygroupId } from '../../src/domain/identifiers.ts';
import { sessionKey } from '../../tools/turn-records.ts';
import {
  type FredCluster,
  type FredNodes,
  type FredStoreNode,
  startFredCluster,
  startFredNodes,
} from '../support/fred-cluster.ts';
import { eventually } from '../support/sharing-store-node.ts';

let nodes: FredNodes;
let cluster: FredCluster;

beforeAll(async () => {
  nodes = await startFredNodes();
});
beforeEach(async () => {
  cluster = await startFredCluster(nodes);
});
afterEach(() => cluster.end());
afterAll(() => nodes.close());

test('records are at all nodes, in the order in which they were written', async () => {
  const [a, b, c] = (await cluster.open('a', 'b', 'c')) as [FredStoreNode, FredStoreNode, FredStoreNode];
  const records = await a.writeMany(100);
  await Promise.all([b.eventuallyHolds(records), c.eventuallyHolds(records)]);
  expect(b.arrived).toEqual(records.map(({ hash }) => hash));
  expect(c.arrived).toEqual(b.arrived);
});

test('a conversation goes from node to node, and every node has all of it', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [FredStoreNode, FredStoreNode];
  const key = sessionKey('roaming');
  const line = [await a.write({ key })];
  for (const node of [b, a, b, b, a]) {
    await node.eventuallyHolds(line);
    line.push(await node.write({ key, parent: line.at(-1) }));
  }
  for (const node of [a, b]) {
    await node.eventuallyHolds(line);
    expect((await node.store.read(key))?.records.map(({ hash }) => hash)).toEqual(line.map(({ hash }) => hash));
  }
  await eventually(() =>
    expect(a.store.sharing.status().outbox).toMatchObject([{ last: 3, published: 3, uncarried: 0 }]),
  );
});

test('a node that comes later gets what was written before, and what was deleted stays deleted', async () => {
  const [a] = (await cluster.open('a')) as [FredStoreNode];
  const records = await a.writeMany(50);
  const key = sessionKey('s1');
  await a.delete(key);
  const b = cluster.node('b', 1);
  await b.open();
  await b.eventuallyHolds(records.filter(({ record }) => record.sessionId !== 's1'));
  await eventually(async () => expect((await b.store.read(key))?.deleted).toBe(true));
});

test('a node that was away gets what was written meanwhile, and gives what it wrote alone', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [FredStoreNode, FredStoreNode];
  await b.close();
  const meanwhile = await a.writeMany(250, 'meanwhile');
  await b.open();
  const after = await b.writeMany(3, 'after');
  await Promise.all([b.eventuallyHolds(meanwhile), a.eventuallyHolds(after)]);
});

test('what of a session is only at a peer is asked for', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [FredStoreNode, FredStoreNode];
  const { signal } = new AbortController();
  const record = await a.write({ key: sessionKey('asked-for') });
  await b.store.sharing.fetch?.(sessionKey('asked-for'), { waitMs: 20_000, signal });
  expect(await b.holds([record])).toBe(true);
  expect(await a.store.sharing.awaitReplicated(record.hash, 20_000, signal)).toBe(1);
});

test('what a peer holds of a model that no node serves any more is at it', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [FredStoreNode, FredStoreNode];
  await b.eventuallyHolds(await a.writeMany(3));
  await Promise.all([a.close(), b.close()]);
  const other = { keygroups: ['ffffffffffffffff' as KeygroupId] };
  await Promise.all([a.open(other), b.open(other)]);
  await eventually(async () => {
    await a.store.sharing.refresh();
    expect(await a.store.sharing.onlyHere()).toEqual([]);
  });
});
