// Two and three stores, each with a real nats-server of its own: tries to make records travel twice, out of order, not at
// all, or to the wrong node; deletions and expiry be undone; and a node depend on another one.
import { randomUUID } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ClusterName, KeygroupId } from '../../src/domain/identifiers.ts';
import { RECORD_FORMAT_VERSION } from '../../src/domain/record/record-version.ts';
import { HOUR_MS, KEYGROUP, sealedTurn, sessionKey, WRITTEN_AT_MS } from '../../tools/turn-records.ts';
import { type Cluster, type StoreNode, startCluster } from '../support/nats-cluster.ts';
import { eventually } from '../support/sharing-store-node.ts';

let cluster: Cluster;
beforeEach(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  await cluster.end();
});

const hashes = (records: readonly { readonly hash: string }[]) => records.map(({ hash }) => hash);

test('records travel to every other node once, in the order of their origin, and are announced when durable', async () => {
  const [a, b, c] = (await cluster.open('a', 'b', 'c')) as [StoreNode, StoreNode, StoreNode];
  const seen: boolean[] = [];
  b.store.onRecord((sealed, from) => {
    if (from === 'elsewhere') void b.holds([sealed]).then((holds) => seen.push(holds));
  });
  const [fromA, fromB] = await Promise.all([a.writeMany(300, 'a'), b.writeMany(300, 'b')]);
  await Promise.all([b, c].map((node) => node.eventuallyHolds(fromA)));
  await Promise.all([a, c].map((node) => node.eventuallyHolds(fromB)));
  await eventually(() => expect(a.arrived).toEqual(hashes(fromB)));
  await eventually(() => expect(b.arrived).toEqual(hashes(fromA)));
  await eventually(() =>
    expect(c.arrived.filter((hash) => hashes(fromA).includes(hash as never))).toEqual(hashes(fromA)),
  );
  await eventually(() => expect(c.arrived).toHaveLength(600));
  await eventually(() => expect(seen).toEqual(fromA.map(() => true)));
  await eventually(() => expect(c.peer(a).logs).toMatchObject([{ cursor: 300, lag: 0 }]));
  // Peers can have the last records before the server's answer to them is back.
  await eventually(() =>
    expect(a.store.sharing.status()).toMatchObject({
      transport: { kind: 'nats', connected: true },
      outbox: [{ last: 300, published: 300 }],
    }),
  );
});

test('a node keeps to itself what is of a keygroup that its peer does not serve', async () => {
  const other = 'ffffffffffffffff' as KeygroupId;
  const [a, b] = [await cluster.node('a'), await cluster.node('b')];
  await a.open([b], { keygroups: [KEYGROUP, other] });
  await b.open([a]);
  await Promise.all([a.eventuallyConnected(b), b.eventuallyConnected(a)]);
  const foreign = await a.write({ key: sessionKey('s', 'u', other) });
  const shared = await a.write();
  await b.eventuallyHolds([shared]);
  expect(await b.holds([foreign])).toBe(false);
  expect(b.peer(a).logs.map(({ keygroup }) => keygroup)).toEqual([KEYGROUP]);
});

test('a tombstone deletes everywhere, and late turns of the session stay away', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [StoreNode, StoreNode];
  const first = await a.write();
  await b.eventuallyHolds([first]);
  // B cannot hear A: the turn that A writes now comes after B's deletion.
  await a.killServer();
  const late = await a.write({ parent: first });
  const tombstone = await b.delete(sessionKey());
  await b.eventuallyHolds([tombstone]);
  await a.startServer();
  await eventually(async () => expect((await a.store.read(sessionKey()))?.deleted).toBe(true));
  await eventually(() => expect(b.peer(a).logs).toMatchObject([{ cursor: 2, lag: 0 }]));
  expect((await b.store.read(sessionKey()))?.deleted).toBe(true);
  expect(b.arrived).not.toContain(late.hash);
});

test('a record that expired while a node was away is gone there, too', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [StoreNode, StoreNode];
  await b.close();
  const short = await a.write({ key: sessionKey('short'), expiresAtMs: WRITTEN_AT_MS + HOUR_MS });
  const long = await a.write({ key: sessionKey('long') });
  await a.store.expire(WRITTEN_AT_MS + 2 * HOUR_MS);
  await b.open([a]);
  await b.eventuallyHolds([long]);
  await b.store.expire(WRITTEN_AT_MS + 2 * HOUR_MS);
  expect(await b.holds([short])).toBe(false);
  expect((await b.store.list({ keygroup: KEYGROUP, limit: 10, nowMs: WRITTEN_AT_MS })).sessions).toHaveLength(1);
});

test('a node that reaches nobody, not even its own server, reads and writes', async () => {
  const [a, b] = [await cluster.node('a'), await cluster.node('b')];
  await a.killServer();
  await b.killServer();
  await a.open([b]);
  const records = await a.writeMany(50);
  expect(await a.holds(records)).toBe(true);
  await eventually(() => expect(a.peer(b)).toMatchObject({ state: 'unreachable', reason: expect.any(String) }));
  expect(a.store.sharing.status()).toMatchObject({
    transport: { connected: false },
    outbox: [{ last: 50, published: 0 }],
  });
  await a.startServer();
  await b.startServer();
  await b.open([a]);
  await b.eventuallyHolds(records);
});

test('what was written before a node had peers goes to them, too', async () => {
  const a = await cluster.node('a');
  await a.open([]);
  const records = await a.writeMany(20);
  const b = await cluster.node('b');
  await b.open([a]);
  await b.eventuallyHolds(records);
});

test('a new node needs the address of one, and then everybody knows everybody', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [StoreNode, StoreNode];
  const c = await cluster.node('c');
  await c.open([a], {
    describe: () => ({ httpUrl: 'http://c.example', location: { latitude: 52.5, longitude: 13.4 } }),
  });
  await eventually(() => b.peer(c));
  await b.eventuallyConnected(c);
  await c.eventuallyConnected(a, b);
  expect(b.peer(c).node).toMatchObject({
    httpUrl: 'http://c.example',
    location: { latitude: 52.5, longitude: 13.4 },
    keygroups: [KEYGROUP],
  });
  await b.eventuallyHolds([await c.write()]);
  // And remembers it: the address it started with need not be there the next time.
  await c.close();
  await a.stop();
  await c.open([a]);
  await c.eventuallyConnected(b);
});

test('a reply that waits for a peer learns how many have the record', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [StoreNode, StoreNode];
  const { signal } = new AbortController();
  const sealed = await a.write();
  expect(await a.store.sharing.awaitReplicated(sealed.hash, 60_000, signal)).toBe(1);
  expect(await b.holds([sealed])).toBe(true);
  expect(await b.store.sharing.awaitReplicated(sealed.hash, 60_000, signal)).toBe(0);
  await b.close();
  const alone = await a.write({ parent: sealed });
  expect(await a.store.sharing.awaitReplicated(alone.hash, 10, signal)).toBe(0);
  const late = a.store.sharing.awaitReplicated(alone.hash, 60_000, signal);
  await b.open([a]);
  expect(await late).toBe(1);
  const abort = new AbortController();
  await b.close();
  const last = await a.write({ parent: alone });
  const aborted = a.store.sharing.awaitReplicated(last.hash, 60_000, abort.signal);
  abort.abort(new Error('client gone'));
  await expect(aborted).rejects.toThrow('client gone');
});

test('a second node under the same id is refused, and says why; the first goes on', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [StoreNode, StoreNode];
  const second = await cluster.node('b');
  await second.open([a]);
  await eventually(() =>
    expect(second.peer(a)).toMatchObject({ state: 'refused', reason: expect.stringContaining('in use') }),
  );
  expect(a.store.sharing.status().refusedNodes).toEqual({ b: 'duplicate_node_id' });
  const foreign = await second.write({ key: sessionKey('foreign') });
  await a.eventuallyHolds([await b.write()]);
  expect(await a.holds([foreign])).toBe(false);
  expect(a.environment.logLines.filter(({ event }) => event === 'node_refused')).toHaveLength(1);
});

test('nodes of two clusters do not share records, and say so', async () => {
  const [a, b] = [await cluster.node('a'), await cluster.node('b')];
  await a.open([b]);
  const records = await a.writeMany(3);
  await b.open([a], { cluster: 'another' as ClusterName });
  await eventually(() =>
    expect(b.peer(a)).toMatchObject({ state: 'refused', reason: expect.stringContaining('another') }),
  );
  await eventually(() => expect(a.peer(b)).toMatchObject({ state: 'refused' }));
  expect(await b.holds(records)).toBe(false);
  expect(b.peer(a).logs).toEqual([]);
  expect(a.store.sharing.status().refusedNodes).toEqual({ b: 'other_cluster' });
});

test('a node that reads other record versions may take part', async () => {
  const a = await cluster.node('a');
  await a.open([]);
  const nats = await a.connect({ inboxPrefix: '_b' });
  const node = { cluster: 'test', nodeId: 'b', incarnation: '00000001', instance: randomUUID(), keygroups: [KEYGROUP] };
  const greet = async (recordVersion: number) => {
    const hello = { kind: 'hello', node: { ...node, recordVersion }, cursors: [] };
    return (await nats.request('bf.a', JSON.stringify(hello))).json<{
      refused?: string;
      node: { recordVersion: number };
    }>();
  };
  // It opens before it listens.
  for (const version of [RECORD_FORMAT_VERSION + 1, 1, RECORD_FORMAT_VERSION])
    await eventually(async () => {
      const reply = await greet(version);
      expect(reply.refused).toBeUndefined();
      expect(reply.node.recordVersion).toBe(RECORD_FORMAT_VERSION);
    });
  expect(a.store.sharing.status().refusedNodes).toEqual({});
  await nats.close();
});

test('an address where something else answers is told from a node that is away', async () => {
  const [a, b] = [await cluster.node('a'), await cluster.node('b')];
  const web: Server = createServer((socket: Socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  const { port } = web.address() as { port: number };
  await new Promise((resolve) => connect(port, '127.0.0.1').once('close', resolve).resume());
  await a.open([b]);
  await a.close();
  const odd = { nodeId: 'c' as StoreNode['id'], url: `nats://127.0.0.1:${port}` };
  await a.open([], { peers: [odd, { nodeId: b.id, url: b.url }] });
  await eventually(() => expect(a.peer('c')).toMatchObject({ state: 'unreachable', reason: expect.any(String) }));
  await eventually(() => expect(a.peer(b)).toMatchObject({ state: 'silent' }));
  web.close();
});

test('a peer on another machine is refused without certificates', async () => {
  const a = await cluster.node('a');
  const far = { nodeId: 'b' as StoreNode['id'], url: 'nats://192.0.2.1:4222' };
  await expect(a.open([], { peers: [far] })).rejects.toMatchObject({ code: 'config_invalid' });
  await a.open([]);
});

test('closing ends every connection and every wait', async () => {
  const sockets = () => process.getActiveResourcesInfo().filter((name) => name.startsWith('TCP')).length;
  const [a, b] = [await cluster.node('a'), await cluster.node('b')];
  const before = sockets();
  const away = { nodeId: 'c' as StoreNode['id'], url: 'nats://127.0.0.1:1' };
  await a.open([b], { peers: [{ nodeId: b.id, url: b.url }, away] });
  await b.open([a]);
  await b.eventuallyHolds(await a.writeMany(10));
  await b.close();
  const { store } = a;
  const { hash } = await a.write({ key: sessionKey('x') });
  const waiting = store.sharing.awaitReplicated(hash, 60_000, new AbortController().signal);
  await a.close();
  expect(await waiting).toBe(0);
  expect([a.pendingTimers, b.pendingTimers]).toEqual([0, 0]);
  await eventually(() => expect(sockets()).toBe(before));
  await expect(store.append(sealedTurn())).rejects.toMatchObject({ code: 'store_unavailable' });
  await store.close();
});
