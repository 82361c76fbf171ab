// Nodes that no longer serve what they once wrote: tries to strand turns that were acknowledged, each node looking well.
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { KeygroupId } from '../../src/domain/identifiers.ts';
import { KEYGROUP, sessionKey } from '../../tools/turn-records.ts';
import { type Cluster, startCluster } from '../support/nats-cluster.ts';
import { eventually } from '../support/sharing-store-node.ts';

const OTHER = 'ffffffffffffffff' as KeygroupId;

let cluster: Cluster;
beforeEach(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  await cluster.end();
});

test('what a node wrote for a model that it serves no more goes to those that serve it', async () => {
  const [a, b] = [await cluster.node('a'), await cluster.node('b')];
  await a.open([]);
  const records = await a.writeMany(1_500);
  await a.store.expire(Number.MAX_SAFE_INTEGER);
  const kept = await a.writeMany(1_500, 'kept');
  await a.close();
  await a.open([b], { keygroups: [OTHER] });
  await b.open([a]);
  await b.eventuallyHolds(kept);
  expect(await b.holds(records.slice(0, 1))).toBe(false);
  await eventually(() =>
    expect(b.peer(a).logs).toMatchObject([{ keygroup: KEYGROUP, cursor: records.length + kept.length, lag: 0 }]),
  );
});

test('of several models, too, and while the node goes on with the others', async () => {
  const [a, b] = [await cluster.node('a'), await cluster.node('b')];
  await a.open([], { keygroups: [KEYGROUP, OTHER] });
  const left = await a.write({ key: sessionKey('left') });
  await a.close();
  await a.open([b], { keygroups: [OTHER] });
  await b.open([a], { keygroups: [OTHER, KEYGROUP] });
  const served = await a.write({ key: sessionKey('served', 'u', OTHER) });
  await b.eventuallyHolds([left, served]);
  await eventually(() =>
    expect(b.peer(a).logs).toMatchObject([
      { keygroup: OTHER, cursor: 1, lag: 0 },
      { keygroup: KEYGROUP, cursor: 1, lag: 0 },
    ]),
  );
});
