// An operator is about to wipe a disk and looks at what the node says first. Tries to have it say that all is well while turns
// are on that disk only, or that a peer is connected that cannot be reached.
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { KeygroupId } from '../../src/domain/identifiers.ts';
import { HOUR_MS, KEYGROUP, sessionKey, WRITTEN_AT_MS } from '../../tools/turn-records.ts';
import { type Cluster, type StoreNode, startCluster } from '../support/nats-cluster.ts';
import { eventually } from '../support/sharing-store-node.ts';

const OTHER = 'ffffffffffffffff' as KeygroupId;

let cluster: Cluster;
beforeEach(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  await cluster.end();
});

const onlyAt = async ({ store: { sharing } }: StoreNode) => {
  await sharing.refresh();
  return sharing.onlyHere();
};

test('records that no peer has are counted, and no longer once one has said to have them', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [StoreNode, StoreNode];
  await b.close();
  const written = await a.writeMany(30);
  await eventually(() => expect(a.store.sharing.status().outbox).toMatchObject([{ last: 30, published: 30 }]));
  expect(await onlyAt(a)).toEqual([{ keygroup: KEYGROUP, records: 30 }]);
  await b.open([a]);
  await b.eventuallyHolds(written);
  await eventually(async () => expect(await onlyAt(a)).toEqual([]));
  expect(await onlyAt(b)).toEqual([]);
  // Nobody need have been asked for a reply that waits.
  await b.eventuallyHolds(await a.writeMany(5, 'more'));
  expect(await onlyAt(a)).toEqual([]);
});

test('those that have expired are not, and those of a model that is served no more are', async () => {
  const a = await cluster.node('a');
  await a.open([], { keygroups: [KEYGROUP, OTHER] });
  await a.write({ key: sessionKey('short'), expiresAtMs: WRITTEN_AT_MS + HOUR_MS });
  const kept = await a.write({ key: sessionKey('long') });
  await a.store.expire(WRITTEN_AT_MS + 2 * HOUR_MS);
  await a.close();
  const b = await cluster.node('b');
  await a.open([b], { keygroups: [OTHER] });
  expect(await onlyAt(a)).toEqual([{ keygroup: KEYGROUP, records: 1 }]);
  await b.open([a]);
  await b.eventuallyHolds([kept]);
  await eventually(async () => expect(await onlyAt(a)).toEqual([]));
});

test('what a peer holds of a model that no node serves any more is at it, and what it never got is here alone', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [StoreNode, StoreNode];
  await b.eventuallyHolds(await a.writeMany(3));
  await Promise.all([a.close(), b.close()]);
  const other = { keygroups: [OTHER] };
  await a.open([b], other);
  await b.open([a], other);
  await eventually(async () => expect(await onlyAt(a)).toEqual([]));
  await b.close();
  await a.close();
  await a.open([b]);
  await a.write({ key: sessionKey('late') });
  await a.close();
  await a.open([b], other);
  await b.open([a], other);
  await a.eventuallyConnected(b);
  // The node's log is known at the peer up to the third record.
  await eventually(async () => expect(await onlyAt(a)).toEqual([{ keygroup: KEYGROUP, records: 1 }]));
});

test('a peer behind a cut is not called connected by whoever looks', async () => {
  const [a, b] = (await cluster.open('a', 'b')) as [StoreNode, StoreNode];
  b.signalServer('SIGSTOP');
  expect(a.peer(b).state).toBe('connected');
  await a.store.sharing.refresh();
  expect(a.peer(b)).toMatchObject({ state: 'silent', reason: 'no answer within 2 s' });
  b.signalServer('SIGCONT');
  await a.eventuallyConnected(b);
});
