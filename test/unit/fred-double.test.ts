// Pins the double of FReD to what FReD 0.2.19 was seen to do, its faults first: what it forgets, overwrites, takes for done
// and dies of. Where the double were kinder than FReD, the store's tests would prove nothing.

import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { FredClient } from '../../src/context-store/fred/wire/fred-client.ts';
import { type FredTls, readFredTls } from '../../src/context-store/fred/wire/fred-tls.ts';
import { type TriggeredItem, TriggerService } from '../../src/context-store/fred/wire/trigger-service.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import type { FredDouble } from '../../tools/fred-double/fred-double.ts';
import { FredDoubles } from '../../tools/fred-double/fred-doubles.ts';

const { clock } = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
const keygroup = 'kg';
const closing: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

it('an item is read, scanned and listed at both nodes, by the order of its id and a bar', async () => {
  const { a, b } = await joined({ isAsync: false });
  for (const id of ['s', 's1', 'r9']) await a.update({ keygroup, id, value: `of ${id}` });
  expect(await b.read({ keygroup, id: 's1' })).toEqual([{ id: 's1', value: 'of s1', version: { nodeA: 1 } }]);
  const ids = async (id: string, count: number) => (await b.keys({ keygroup, id, count })).map((key) => key.id);
  expect(await ids('r9', 9)).toEqual(['r9', 's1', 's']);
  expect(await ids('s1', 1)).toEqual(['s1']);
  expect((await b.scan({ keygroup, id: 's', count: 9 })).map(({ value }) => value)).toEqual(['of s']);
});

it('almost every failure is the same, and a keygroup that is not there is a role that is not there', async () => {
  const { a, b } = await joined({ isAsync: false });
  await expect(b.createKeygroup({ keygroup, expirySeconds: 0 })).rejects.toThrow('error creating keygroup');
  await expect(a.update({ keygroup: 'other', id: 'i', value: 'v' })).rejects.toMatchObject({
    kind: 'forbidden',
    message: expect.stringContaining('user discedge cannot update in keygroup other'),
  });
  await expect(a.scan({ keygroup, id: 'none', count: 5 })).rejects.toMatchObject({
    kind: 'failed',
    message: expect.stringContaining('error scanning 5 items starting at none'),
  });
  expect(await a.read({ keygroup, id: 'none' })).toEqual([]);
});

it('of simultaneous writes one overwrites the other, or both stay, and who is as new loses without a word', async () => {
  const { a, b, nodes } = await joined();
  const [first, second] = nodes;
  for (const node of nodes) node.cut();
  await a.update({ keygroup, id: 'i', value: 'of a' });
  await b.update({ keygroup, id: 'i', value: 'of b' });
  for (const node of nodes) await node.heal();
  first.deliver();
  second.deliver();
  // Both clocks are concurrent: the next relay brings both side by side, the next write overwrites both.
  await a.update({ keygroup, id: 'i', value: 'again of a' });
  await until(async () => (await b.read({ keygroup, id: 'i' })).length === 2);
  await b.update({ keygroup, id: 'i', value: 'last' });
  await until(async () => (await a.read({ keygroup, id: 'i' }))[0]?.value === 'last');
  expect(await a.read({ keygroup, id: 'i' })).toEqual([{ id: 'i', value: 'last', version: { nodeA: 2, nodeB: 2 } }]);
  // A node that has lost its folder begins to count anew: its value is dropped where the old one is known.
  first.kill();
  first.wipe();
  second.kill();
  second.wipe();
  await first.start();
  await second.start();
  await a.addReplica({ keygroup, nodeId: 'nodeA', expirySeconds: 0 }).catch(() => {});
  await a.update({ keygroup, id: 'j', value: 'before the wipe' });
  await b.addReplica({ keygroup, nodeId: 'nodeB', expirySeconds: 0 });
  first.kill();
  first.wipe();
  await first.start();
  second.cut();
  await a.addReplica({ keygroup, nodeId: 'nodeA', expirySeconds: 0 }).catch(() => {});
  await second.heal();
  first.deliver();
  expect(await a.update({ keygroup, id: 'j', value: 'after the wipe' })).toEqual({ nodeA: 1 });
  await a.update({ keygroup, id: 'k', value: 'a sign' });
  await until(async () => (await b.read({ keygroup, id: 'k' })).length === 1);
  expect(await b.read({ keygroup, id: 'j' })).toMatchObject([{ value: 'before the wipe' }]);
});

it('a deletion leaves a tombstone in lists that outlives expiry, and an expired id is no place to start', async () => {
  let nowMs = clock.now();
  const { a, b } = await joined({ isAsync: false, now: () => nowMs, expirySeconds: 10 });
  await a.update({ keygroup, id: 'a1', value: 'v' });
  await a.update({ keygroup, id: 'a2', value: 'v' });
  await a.delete({ keygroup, id: 'a1' });
  expect(await a.read({ keygroup, id: 'a1' })).toEqual([]);
  expect(await a.scan({ keygroup, id: 'a1', count: 9 })).toMatchObject([{ value: '' }, { value: 'v' }]);
  nowMs += 11_000;
  expect(await a.scan({ keygroup, id: 'a1', count: 9 })).toMatchObject([{ id: 'a1', value: '' }]);
  // The peers' tombstones expire as any item does.
  await expect(b.scan({ keygroup, id: 'a1', count: 9 })).rejects.toMatchObject({ kind: 'failed' });
  await expect(a.scan({ keygroup, id: 'a2', count: 1 })).rejects.toMatchObject({ kind: 'failed' });
});

it('triggers tell of own and relayed writes, a remote deletion as an empty put, and are gone with the folder', async () => {
  const { a, b, nodes, listen } = await joined({ isAsync: false });
  const seen = await listen(b, 't1');
  await a.update({ keygroup, id: 'i', value: 'from afar' });
  await b.update({ keygroup, id: 'i', value: 'from here' });
  await a.delete({ keygroup, id: 'i' });
  await until(async () => seen.length === 3);
  expect(seen.map(({ value }) => value)).toEqual(['from afar', 'from here', '']);
  nodes[1].kill();
  nodes[1].wipe();
  await nodes[1].start();
  await b.addReplica({ keygroup, nodeId: 'nodeB', expirySeconds: 0 });
  expect(await b.triggers(keygroup)).toEqual([]);
});

it('the writer waits for its own triggers and fails with them, though it has stored and passed on', async () => {
  const { a, b } = await joined({ isAsync: false });
  await b.addTrigger({ keygroup, triggerId: 'gone', host: '127.0.0.1:1' });
  await expect(b.update({ keygroup, id: 'i', value: 'v' })).rejects.toThrow('error updating item');
  expect(await a.read({ keygroup, id: 'i' })).toHaveLength(1);
  // A peer's failing trigger is not the writer's matter.
  await a.update({ keygroup, id: 'j', value: 'v' });
  expect(await b.read({ keygroup, id: 'j' })).toHaveLength(1);
});

it('lost triggers are lost', async () => {
  const { a, b, nodes, listen } = await joined({ isAsync: false });
  const seen = await listen(b, 't1');
  nodes[1].loseTriggers(true);
  await a.update({ keygroup, id: 'i', value: 'untold' });
  nodes[1].loseTriggers(false);
  await a.update({ keygroup, id: 'j', value: 'told' });
  await until(async () => seen.length > 0);
  expect(seen).toMatchObject([{ id: 'j' }]);
  expect(await b.read({ keygroup, id: 'i' })).toHaveLength(1);
});

it('an update is taken while the peer is away, which never gets it', async () => {
  const { a, b, nodes } = await joined({ isAsync: false });
  nodes[1].cut();
  await a.update({ keygroup, id: 'missed', value: 'v' });
  await nodes[1].heal();
  nodes[0].deliver();
  await a.update({ keygroup, id: 'later', value: 'v' });
  expect(await b.read({ keygroup, id: 'later' })).toHaveLength(1);
  expect(await b.read({ keygroup, id: 'missed' })).toEqual([]);
});

it('a stopped peer holds up the writer that waits for it, and not the one that does not', async () => {
  const waiting = await joined({ isAsync: false });
  waiting.nodes[1].stop();
  await expect(waiting.a.update({ keygroup, id: 'i', value: 'v' }, { callMs: 200 })).rejects.toMatchObject({
    kind: 'late',
  });
  const going = await joined({ isAsync: true });
  going.nodes[1].stop();
  await going.a.update({ keygroup, id: 'i', value: 'v' });
  going.nodes[1].resume();
  await until(async () => (await going.b.read({ keygroup, id: 'i' })).length === 1);
});

it('after a restart on its folder all is readable, and the first update ends the process', async () => {
  const { a, b, nodes } = await joined({ isAsync: false });
  await a.update({ keygroup, id: 'i', value: 'v' });
  nodes[1].kill();
  await nodes[1].start();
  expect(await b.read({ keygroup, id: 'i' })).toHaveLength(1);
  await expect(b.update({ keygroup, id: 'j', value: 'v' })).rejects.toMatchObject({ kind: 'unreachable' });
  await nodes[1].hasEnded;
  expect(nodes[1].isRunning).toBe(false);
  // So does what a peer passes on, and with items missed the process does not even come up.
  await nodes[1].start();
  nodes[0].deliver();
  await a.update({ keygroup, id: 'k', value: 'v' });
  await nodes[1].hasEnded;
  await expect(nodes[1].start()).rejects.toThrow('nil pointer');
});

it('a wiped node is still listed, holds nothing, and gets all when it joins again', async () => {
  const { a, b, nodes } = await joined({ isAsync: false });
  await a.update({ keygroup, id: 'i', value: 'v' });
  nodes[1].kill();
  nodes[1].wipe();
  await nodes[1].start();
  expect((await b.keygroup(keygroup)).replicas.map(({ nodeId }) => nodeId)).toEqual(['nodeA', 'nodeB']);
  await expect(b.read({ keygroup, id: 'i' })).rejects.toThrow('error reading item');
  await expect(b.update({ keygroup, id: 'j', value: 'v' })).rejects.toThrow('error updating item');
  await b.addReplica({ keygroup, nodeId: 'nodeB', expirySeconds: 0 });
  expect(await b.read({ keygroup, id: 'i' })).toHaveLength(1);
  await expect(b.addReplica({ keygroup, nodeId: 'nodeB', expirySeconds: 0 })).rejects.toThrow('error adding replica');
});

it('a join takes everything in one message: above 4 MiB it fails, is registered, and holds nothing', async () => {
  const { a, b, nodes } = await joined({ isAsync: false });
  for (const id of ['i1', 'i2']) await a.update({ keygroup, id, value: id.repeat(1_200_000) });
  nodes[1].kill();
  nodes[1].wipe();
  await nodes[1].start();
  await expect(b.addReplica({ keygroup, nodeId: 'nodeB', expirySeconds: 0 })).rejects.toThrow('error adding replica');
  expect((await a.keygroup(keygroup)).replicas).toHaveLength(2);
  expect(await b.read({ keygroup, id: 'i1' })).toEqual([]);
  await a.update({ keygroup, id: 'i3', value: 'from now on' });
  expect(await b.read({ keygroup, id: 'i3' })).toHaveLength(1);
});

it('without its naming service a node goes on with what it has asked before, and does not start', async () => {
  const { a, nodes, doubles } = await joined({ isAsync: false });
  await a.update({ keygroup, id: 'i', value: 'v' });
  doubles.naming.isDown = true;
  await a.update({ keygroup, id: 'i', value: 'w' });
  await expect(a.createKeygroup({ keygroup: 'other', expirySeconds: 0 })).rejects.toThrow('error creating keygroup');
  nodes[1].kill();
  nodes[1].wipe();
  await expect(nodes[1].start()).rejects.toThrow('deadline');
});

it('two nodes that create a keygroup at once both succeed', async () => {
  const { a, b } = await joined();
  const created = [a, b].map((fred) => fred.createKeygroup({ keygroup: 'both', expirySeconds: 0 }));
  await expect(Promise.all(created)).resolves.toHaveLength(2);
});

it('another name than its creator has no role', async () => {
  const { a, doubles } = await joined();
  const fred = clientOf(doubles.nodes[0] as FredDouble, await tlsOf(doubles, 'fred'));
  await expect(fred.read({ keygroup, id: 'i' })).rejects.toMatchObject({ kind: 'forbidden' });
  await a.addUser({ keygroup, user: 'nodeA', role: 'read' });
  expect(await fred.read({ keygroup, id: 'i' })).toEqual([]);
  await expect(fred.update({ keygroup, id: 'i', value: 'v' })).rejects.toMatchObject({ kind: 'forbidden' });
});

async function joined({
  expirySeconds = 0,
  ...options
}: {
  isAsync?: boolean;
  now?: () => number;
  expirySeconds?: number;
} = {}) {
  const doubles = await FredDoubles.start(['nodeA', 'nodeB'], options);
  closing.push(() => doubles.close());
  const nodes = doubles.nodes as [FredDouble, FredDouble];
  const tls = await tlsOf(doubles, 'node');
  const [a, b] = [clientOf(nodes[0], tls), clientOf(nodes[1], tls)];
  await a.createKeygroup({ keygroup, expirySeconds });
  await b.addReplica({ keygroup, nodeId: 'nodeB', expirySeconds });
  const listen = async (fred: FredClient, triggerId: string) => {
    const seen: TriggeredItem[] = [];
    const service = await TriggerService.start({ listen: '127.0.0.1:0', tls, onItem: (item) => seen.push(item) });
    closing.push(() => service.close());
    await fred.addTrigger({ keygroup, triggerId, host: `127.0.0.1:${service.port}` });
    return seen;
  };
  return { doubles, nodes, a, b, listen };
}

function clientOf({ host }: FredDouble, tls: FredTls): FredClient {
  const client = new FredClient({ host, tls, clock });
  closing.push(() => client.close());
  return client;
}

function tlsOf({ certificates }: FredDoubles, name: 'node' | 'fred'): Promise<FredTls> {
  const folder = join(certificates, 'nodeA');
  const [certFile, keyFile] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  return readFredTls({ caFile: join(folder, 'ca.crt'), certFile, keyFile });
}

/** Asks again as soon as it has an answer; the test's own limit ends it. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setImmediate(resolve));
}
