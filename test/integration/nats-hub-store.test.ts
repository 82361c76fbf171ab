// Stores whose servers can only dial out to a hub's: tries to keep a record, an announcement or a refusal from passing
// between two of them, and between them and a node that everybody can reach. Real servers, without certificates.
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ClusterName } from '../../src/domain/identifiers.ts';
import { sessionKey } from '../../tools/turn-records.ts';
import type { StoreNode } from '../support/nats-cluster.ts';
import { HUB, type HubCluster, startHubCluster } from '../support/nats-hub.ts';
import { eventually } from '../support/sharing-store-node.ts';

let cluster: HubCluster;
beforeEach(async () => {
  cluster = await startHubCluster();
});
afterEach(async () => {
  await cluster.end();
});

/** The hub, and leafs that know nothing but it; all have found each other. */
async function openHubAndLeafs(...ids: string[]): Promise<[StoreNode, ...StoreNode[]]> {
  const { hub } = cluster;
  await hub.open([]);
  const leafs: StoreNode[] = [];
  for (const id of ids) {
    const leaf = await cluster.leaf(id);
    await cluster.openLeaf(leaf);
    leafs.push(leaf);
  }
  const all = [hub, ...leafs] as [StoreNode, ...StoreNode[]];
  for (const node of all) await eventuallyKnows(node, ...all.filter((other) => other !== node));
  return all;
}

async function eventuallyKnows(node: StoreNode, ...others: readonly StoreNode[]): Promise<void> {
  await eventually(() => others.map((other) => node.peer(other)));
  await node.eventuallyConnected(...others);
}

test('nodes that can only dial out need their hub, and then each has the records of all', async () => {
  const all = await openHubAndLeafs('e2', 'e3');
  const records = (await Promise.all(all.map((node) => node.writeMany(20, node.id)))).flat();
  for (const node of all) await node.eventuallyHolds(records);
  for (const { arrived } of all) {
    await eventually(() => expect(arrived).toHaveLength(40));
    expect(new Set(arrived).size).toBe(40);
  }
  const [hub, e2, e3] = all as [StoreNode, StoreNode, StoreNode];
  expect(e2.peer(e3).url).toBe('hub:hub');
  expect(hub.peer(e3).url).toBe('hub:hub');
  expect(e2.store.sharing.status().peers).toHaveLength(2);
});

test('a reply that waits for a peer behind the hub learns that it has the record', async () => {
  const [, e2] = (await openHubAndLeafs('e2', 'e3')) as [StoreNode, StoreNode, StoreNode];
  const sealed = await e2.write();
  expect(await e2.store.sharing.awaitReplicated(sealed.hash, 60_000, new AbortController().signal)).toBeGreaterThan(0);
});

test('a node that others can reach and nodes behind a hub share their records both ways', async () => {
  const [hub, e2] = (await openHubAndLeafs('e2')) as [StoreNode, StoreNode];
  const x = await cluster.standalone('x');
  await x.open([hub]);
  for (const node of [hub, e2]) await eventuallyKnows(node, x);
  await eventuallyKnows(x, hub, e2);
  expect(x.peer(e2).url).toBe('hub:hub');
  expect(e2.peer(x).url).toBe(x.url);
  const records = [await x.write({ key: sessionKey('x') }), await e2.write({ key: sessionKey('e2') })];
  for (const node of [hub, e2, x]) await node.eventuallyHolds(records);
});

test('a hub may be told who is behind it, and others learn how to get there', async () => {
  const { hub } = cluster;
  const e2 = await cluster.leaf('e2');
  await hub.open([], { peers: [{ nodeId: e2.id }] });
  const x = await cluster.standalone('x');
  await x.open([hub]);
  await cluster.openLeaf(e2);
  await eventuallyKnows(x, hub, e2);
  await eventuallyKnows(hub, e2, x);
  await x.eventuallyHolds([await e2.write()]);
});

test('what was written before a node had a hub goes there, and a node remembers who is behind it', async () => {
  const e2 = await cluster.leaf('e2');
  await cluster.openLeaf(e2);
  const records = await e2.writeMany(20);
  await cluster.hub.open([]);
  const e3 = await cluster.leaf('e3');
  await cluster.openLeaf(e3);
  await e3.eventuallyHolds(records);
  await e3.close();
  await cluster.hub.close();
  // Nobody is there to tell it: the process of the hub is gone, its server leads to the other node all the same.
  await cluster.openLeaf(e3);
  await e3.eventuallyConnected(e2);
  await e3.eventuallyHolds([await e2.write({ key: sessionKey('late') })]);
});

test('a node of another cluster behind the same hub is refused, and says so', async () => {
  await openHubAndLeafs('e2');
  const stranger = await cluster.leaf('e9');
  await cluster.openLeaf(stranger, { cluster: 'red' as ClusterName });
  await eventually(() => expect(stranger.peer(HUB)).toMatchObject({ state: 'refused' }));
  expect(stranger.peer(HUB).reason).toMatch(/belongs to cluster test/);
  expect(cluster.hub.store.sharing.status().refusedNodes).toEqual({ e9: 'other_cluster' });
  expect(stranger.store.sharing.status().peers).toHaveLength(1);
});
