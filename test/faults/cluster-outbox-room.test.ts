// A nats-server that was given room for a fraction of what its node writes. Records must go on reaching the peers at once,
// not only with the next greeting, and a peer that was away must get those for which the stream has no room any more.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Cluster, eventually, startCluster } from '../support/nats-cluster.ts';

let cluster: Cluster;
beforeEach(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  await cluster.end();
});

test('a stream that has used up its room goes on with newer records', async () => {
  const a = await cluster.node('a', { serverConfig: () => 'jetstream { max_file: 100000 }' });
  const b = await cluster.node('b');
  const away = await cluster.node('away');
  await a.open([b]);
  await b.open([a]);
  await a.eventuallyConnected(b);
  await b.eventuallyConnected(a);
  const records = [];
  for (let i = 0; i < 4; i++) {
    const some = await a.writeMany(1_000, `s${i}-`);
    records.push(...some);
    await b.eventuallyHolds(some);
  }
  const log = a.environment.logLines.map(({ event }) => event);
  expect(log).toContain('stream_shortened');
  await eventually(() => expect(a.store.replicationStatus().outbox[0]?.published).toBe(records.length));
  expect(new Set(b.arrived).size).toBe(records.length);
  expect(b.arrived).toHaveLength(records.length);

  await away.open([a]);
  await away.eventuallyHolds(records);
});
