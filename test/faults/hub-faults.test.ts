// Nodes behind a hub, robbed of the hub, of the links to it, of streams and consumers, while both write and while nobody
// does. Their own connections never drop, so nothing tells them; what was acknowledged must be everywhere in the end.
import { jetstreamManager } from '@nats-io/jetstream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { domainApi } from '../../src/context-store/nats/names.ts';
import { sessionKey } from '../../tools/turn-records.ts';
import type { StoreNode } from '../support/nats-cluster.ts';
import { HUB, type HubCluster, startHubCluster } from '../support/nats-hub.ts';
import { eventually } from '../support/sharing-store-node.ts';
import { survive } from '../support/survive.ts';

let cluster: HubCluster;
let hub: StoreNode;
let e2: StoreNode;
let e3: StoreNode;
beforeEach(async () => {
  cluster = await startHubCluster();
  hub = cluster.hub;
  await hub.open([]);
  e2 = await cluster.leaf('e2');
  e3 = await cluster.leaf('e3');
  for (const leaf of [e2, e3]) await cluster.openLeaf(leaf);
  await eventually(() => e2.peer(e3));
  await e2.eventuallyConnected(hub, e3);
  await eventually(() => e3.peer(e2));
  await e3.eventuallyConnected(hub, e2);
});
afterEach(async () => {
  await cluster.end();
});

test('the hub is killed and comes back while both write', async () => {
  await survive(e2, e3, async () => {
    await hub.killServer();
    await Promise.all([e2.writeMany(50, 'p'), e3.writeMany(50, 'q')]);
    await hub.startServer();
  });
  await hub.eventuallyHolds([await e2.write({ key: sessionKey('last') })]);
});

test('the hub is killed and comes back while nobody writes', async () => {
  await hub.killServer();
  await hub.startServer();
  const records = [
    await e2.write({ key: sessionKey('a') }),
    await hub.write({ key: sessionKey('b') }),
    await e3.write({ key: sessionKey('c') }),
  ];
  for (const node of [hub, e2, e3]) await node.eventuallyHolds(records);
});

test('the hub, its server and its disk go, and it comes back empty', async () => {
  const records = [await hub.write({ key: sessionKey('a') }), await e2.write({ key: sessionKey('b') })];
  for (const node of [e2, e3]) await node.eventuallyHolds(records);
  await hub.stop();
  await hub.wipeDisk();
  const meanwhile = await e3.writeMany(20, 'm');
  await hub.startServer();
  await hub.open([]);
  for (const node of [hub, e2]) await node.eventuallyHolds([...records, ...meanwhile]);
  for (const node of [e2, e3]) await node.eventuallyHolds([await hub.write({ key: sessionKey('new') })]);
});

test("a leaf's server is killed, its link with it, while both write", async () => {
  await survive(e2, e3, async () => {
    await e2.killServer();
    await eventually(() => expect(e3.peer(e2).state).toBe('silent'));
    await e2.startServer();
  });
});

test('the hub hangs for a while', async () => {
  await survive(e2, e3, async () => {
    hub.signalServer('SIGSTOP');
    await eventually(() => expect(e3.peer(e2).state).toBe('silent'));
    hub.signalServer('SIGCONT');
  });
});

test("a leaf's JetStream folder is wiped", async () => {
  await survive(e2, e3, async () => {
    await e2.killServer();
    await e2.wipeJetStream();
    await e2.startServer();
  });
});

test('a consumer, then its stream, is deleted behind our back', async () => {
  await survive(e2, e3, async () => {
    const nats = await e3.connect();
    const manager = await jetstreamManager(nats, { apiPrefix: domainApi(e2.id), checkAPI: false });
    await manager.consumers.delete(e2.stream, e3.id);
    await e3.eventuallyHolds([await e2.write({ key: sessionKey('between') })]);
    await manager.streams.delete(e2.stream);
    await nats.close();
  });
});

test("what is asked of a leaf through a dead hub is not waited for: the leaf's process ends and comes back meanwhile", async () => {
  await hub.killServer();
  await e2.close();
  await cluster.openLeaf(e2);
  const record = await e2.write();
  await hub.startServer();
  for (const node of [hub, e3]) await node.eventuallyHolds([record]);
  await eventually(() => expect(e3.peer(HUB).state).toBe('connected'));
});

test('two nodes of one id behind the hub: one is refused, in so many words', async () => {
  const twin = await cluster.leaf('e2');
  await cluster.openLeaf(twin);
  await eventually(() => {
    const reasons = [e2, twin].map((node) => node.peer(HUB).reason ?? '');
    expect(reasons.some((reason) => reason.includes('in use by another node'))).toBe(true);
    expect(hub.store.sharing.status().refusedNodes).toEqual({ e2: 'duplicate_node_id' });
  });
});
