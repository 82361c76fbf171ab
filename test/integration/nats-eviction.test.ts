// Full stores among each other. Tries to lose a session that some node had room for: while the peer is off, while every node is
// full of the others' sessions, and while nodes evict at the same time what they hold of each other.
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import { KEYGROUP, sealedTurn, sessionKey } from '../../tools/turn-records.ts';
import { type Cluster, type StoreNode, startCluster } from '../support/nats-cluster.ts';
import { eventually } from '../support/sharing-store-node.ts';

const LARGE = { replyTokens: 8_000 };
const RECORD_BYTES = sealedTurn(LARGE).bytes.length;
/** Of each small store: ten of these records, and a bit. */
const SMALL = { bytesMax: Math.round(RECORD_BYTES * 10.1) };
const WAIT = { waitMs: 60_000, signal: new AbortController().signal };

let cluster: Cluster;
beforeEach(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  await cluster.end();
});

async function open(...nodes: readonly StoreNode[]): Promise<void> {
  const othersOf = (node: StoreNode) => nodes.filter((other) => other !== node);
  for (const node of nodes) await node.open(othersOf(node));
  await Promise.all(nodes.map((node) => node.eventuallyConnected(...othersOf(node))));
}

const write = (node: StoreNode, sessionId: string) => node.write({ key: sessionKey(sessionId), ...LARGE });
const numbered = (name: string, count: number) => Array.from({ length: count }, (_, n) => `${name}-${n}`);

/** Without reading them: that would count as use. */
async function heldAt(node: StoreNode): Promise<string[]> {
  const { sessions } = await node.store.list({ keygroup: KEYGROUP, limit: 1000, nowMs: 0 });
  return sessions.map(({ key }) => key.sessionId);
}

const lastCopiesEvictedAt = async (node: StoreNode) => (await node.store.status()).evictedLastCopies;
const isConfirmed = ({ hash }: SealedRecord, at: StoreNode) =>
  eventually(async () =>
    expect(await at.store.sharing.awaitReplicated(hash, WAIT.waitMs, WAIT.signal)).toBeGreaterThan(0),
  );

test('while the peer is off, what it has goes and what it has not stays; then each is where it can be got', async () => {
  const [small, large] = [await cluster.node('small', SMALL), await cluster.node('large')];
  await open(small, large);
  const replicated = numbered('replicated', 5);
  for (const sessionId of replicated) await isConfirmed(await write(small, sessionId), small);
  await large.stop();
  await eventually(() => expect(small.peer(large).state).not.toBe('connected'));

  const here = numbered('here', 9);
  for (const sessionId of here) await write(small, sessionId);
  expect(await heldAt(small)).toEqual(expect.arrayContaining(here));
  expect(await heldAt(small)).not.toContain('replicated-0');
  expect(await lastCopiesEvictedAt(small)).toBe(0);

  await large.startServer();
  await large.open([small]);
  await Promise.all([small.eventuallyConnected(large), large.eventuallyConnected(small)]);
  await eventually(async () => expect((await heldAt(large)).toSorted()).toEqual([...replicated, ...here].toSorted()));
  for (const sessionId of replicated) {
    await small.store.sharing.fetch?.(sessionKey(sessionId), WAIT);
    expect((await small.store.read(sessionKey(sessionId)))?.records, sessionId).toHaveLength(1);
  }
  expect(await lastCopiesEvictedAt(small)).toBe(0);
});

test('of two full nodes that take one turn at a time each keeps what was written there, and gets from the other what was written there', async () => {
  const [a, b] = [await cluster.node('a', SMALL), await cluster.node('b', SMALL)];
  await open(a, b);
  for (let n = 0; n < 8; n++) {
    for (const [node, name] of [
      [a, 'a'],
      [b, 'b'],
    ] as const) {
      await isConfirmed(await write(node, `${name}-${n}`), node);
      // Each has heard of what the other has let go.
      await Promise.all([a, b].map((each) => each.store.sharing.refresh()));
    }
  }
  expect(await heldAt(a)).toEqual(expect.arrayContaining(numbered('a', 8)));
  expect(await heldAt(b)).toEqual(expect.arrayContaining(numbered('b', 8)));
  expect((await heldAt(a)).length + (await heldAt(b)).length).toBeLessThan(32);
  expect([await lastCopiesEvictedAt(a), await lastCopiesEvictedAt(b)]).toEqual([0, 0]);
  for (const sessionId of numbered('b', 8)) {
    await a.store.sharing.fetch?.(sessionKey(sessionId), WAIT);
    expect((await a.store.read(sessionKey(sessionId)))?.records, sessionId).toHaveLength(1);
  }
});

test('what is written at one of two full nodes, more than it holds, is at one of them', async () => {
  const [a, b] = [await cluster.node('a', SMALL), await cluster.node('b', SMALL)];
  await open(a, b);
  const all = numbered('s', 14);
  for (const sessionId of all) {
    await isConfirmed(await write(a, sessionId), a);
    // Each has heard of what the other has let go.
    await Promise.all([a, b].map((node) => node.store.sharing.refresh()));
  }
  const held = new Set([...(await heldAt(a)), ...(await heldAt(b))]);
  expect([...held].toSorted()).toEqual(all.toSorted());
  expect((await heldAt(a)).length).toBeLessThan(all.length);
  expect((await heldAt(b)).length).toBeLessThan(all.length);
  expect([await lastCopiesEvictedAt(a), await lastCopiesEvictedAt(b)]).toEqual([0, 0]);
});
