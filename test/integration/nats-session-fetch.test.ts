// A small store beside large ones: tries to make a session that a node has evicted stay away from it, come back in part, come
// twice, come from somebody who must not send it, move what is known of the logs, or cost its holder anything.
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { KeygroupId, SessionKey } from '../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import { KEYGROUP, sessionKey } from '../../tools/turn-records.ts';
import { type Cluster, type StoreNode, startCluster } from '../support/nats-cluster.ts';
import { eventually } from '../support/sharing-store-node.ts';

const SMALL_BYTES = 200_000;
const OLD = sessionKey('old');

let cluster: Cluster;
beforeEach(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  await cluster.end();
});

const hashes = (records: readonly { readonly hash: string }[] = []) => records.map(({ hash }) => hash);
const held = async (node: StoreNode, key: SessionKey = OLD) => hashes((await node.store.read(key))?.records);
const fetch = (node: StoreNode, key: SessionKey = OLD, waitMs = 60_000) =>
  node.store.sharing.fetch?.(key, { waitMs, signal: new AbortController().signal });

async function line(node: StoreNode, turns: number, key: SessionKey = OLD, first?: SealedRecord) {
  const records = first === undefined ? [await node.write({ key })] : [first];
  while (records.length < turns) records.push(await node.write({ key, parent: records.at(-1) }));
  return records;
}

/** `small` holds little; all know each other. */
async function withSmallStore(...others: string[]): Promise<StoreNode[]> {
  const large = await Promise.all(others.map((id) => cluster.node(id)));
  const nodes = [await cluster.node('small', { bytesMax: SMALL_BYTES }), ...large];
  const othersOf = (node: StoreNode) => nodes.filter((other) => other !== node);
  for (const node of nodes) await node.open(othersOf(node));
  await Promise.all(nodes.map((node) => node.eventuallyConnected(...othersOf(node))));
  return nodes;
}

/** One node's records fill the small store until the session is not there any more. */
async function crowdOut(small: StoreNode, by: StoreNode, key: SessionKey = OLD): Promise<SealedRecord[]> {
  const records: SealedRecord[] = [];
  for (let n = 0; (await isIn(small, key)) || n < 20; n++) {
    const next = await by.write({ key: sessionKey(`filler-${by.id}-${n}`), replyTokens: 8_000 });
    await small.eventuallyHolds([next]);
    records.push(next);
  }
  return records;
}

/** Without reading it: that would count as use. */
async function isIn(node: StoreNode, { sessionId }: SessionKey): Promise<boolean> {
  const page = await node.store.list({ keygroup: KEYGROUP, limit: 1000, nowMs: 0 });
  return page.sessions.some(({ key }) => key.sessionId === sessionId);
}

test('an evicted session comes back whole when it is asked for, and logs stay where they were', async () => {
  const [small, large] = (await withSmallStore('large')) as [StoreNode, StoreNode];
  const records = await line(large, 30);
  await small.eventuallyHolds(records);
  await crowdOut(small, large);
  expect(await held(small)).toEqual([]);
  await eventually(() => expect(small.peer(large).logs).toMatchObject([{ lag: 0 }]));
  const before = { here: small.peer(large).logs, there: await large.store.status() };
  const arrivedBefore = small.arrived.length;
  expect(await fetch(small)).toBe(30);
  expect(await held(small)).toEqual(hashes(records));
  expect(small.arrived.slice(arrivedBefore).toSorted()).toEqual(hashes(records).toSorted());
  expect(small.peer(large).logs).toEqual(before.here);
  expect(await large.store.status()).toEqual(before.there);
  expect(small.environment.logLines.some(({ event }) => event === 'session_fetched')).toBe(true);
  // Nothing is missing any more.
  expect(await fetch(small)).toBe(0);
  const next = await large.write({ key: OLD, parent: records.at(-1) });
  await small.eventuallyHolds([next]);
});

test("a session of this node's own that only a peer still has comes back, too, and keeps its place in the log", async () => {
  const [small, large] = (await withSmallStore('large')) as [StoreNode, StoreNode];
  const records = await line(small, 5);
  await large.eventuallyHolds(records);
  // What was written elsewhere would go first.
  const { length } = await crowdOut(small, small);
  expect(await fetch(small)).toBe(5);
  expect(await held(small)).toEqual(hashes(records));
  const next = await small.write({ key: OLD, parent: records.at(-1) });
  await large.eventuallyHolds([next]);
  const cursor = records.length + length + 1;
  await eventually(() => expect(large.peer(small).logs).toMatchObject([{ cursor, lag: 0 }]));
});

test('what nobody has is said at once, and what a peer has deleted is deleted here', async () => {
  const [small, large] = (await withSmallStore('large')) as [StoreNode, StoreNode];
  expect(await fetch(small, sessionKey('nobody'))).toBe(0);
  expect(await small.store.read(sessionKey('nobody'))).toBeUndefined();
  await small.eventuallyHolds(await line(large, 3));
  await crowdOut(small, large);
  await small.close();
  const tombstone = await large.delete(OLD);
  await small.open([large]);
  await small.eventuallyConnected(large);
  await fetch(small);
  expect((await small.store.read(OLD))?.deleted).toBe(true);
  expect(await small.holds([tombstone])).toBe(true);
});

test('another keygroup is not asked for, and its holder not either', async () => {
  const other = 'ffffffffffffffff' as KeygroupId;
  const [a, b] = [await cluster.node('a'), await cluster.node('b')];
  await a.open([b], { keygroups: [KEYGROUP, other] });
  await b.open([a]);
  await Promise.all([a.eventuallyConnected(b), b.eventuallyConnected(a)]);
  await a.write({ key: sessionKey('s', 'u', other) });
  expect(await fetch(b, sessionKey('s', 'u', other))).toBe(0);
  expect(await b.store.read(sessionKey('s', 'u', other))).toBeUndefined();
});

test('a peer that is away or does not answer costs no more than the wait, and the rest comes all the same', async () => {
  const [small, a, b] = (await withSmallStore('a', 'b')) as [StoreNode, StoreNode, StoreNode];
  const records = await line(a, 3);
  await Promise.all([small, b].map((node) => node.eventuallyHolds(records)));
  await crowdOut(small, a);
  a.signalServer('SIGSTOP');
  try {
    await fetch(small, OLD, 1);
    // It goes on by itself.
    await eventually(async () => expect(await held(small)).toEqual(hashes(records)));
  } finally {
    a.signalServer('SIGCONT');
  }
});
