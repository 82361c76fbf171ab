// Records of nearly a megabyte, many at once: tries to have a node that was away take in more than it can hold, or stop where a
// server ends a request because its bytes are used up.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sealedTurn, sessionKey } from '../../tools/turn-records.ts';
import { type Cluster, startCluster } from '../support/nats-cluster.ts';
import { eventually } from '../support/sharing-store-node.ts';

let cluster: Cluster;
beforeEach(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  await cluster.end();
});

test('all of them come, a bounded number of bytes at a time', async () => {
  const [a, b] = [await cluster.node('a'), await cluster.node('b')];
  await a.open([]);
  const reply = 'x'.repeat(900_000);
  const written = await Promise.all(
    Array.from({ length: 60 }, (_, i) => {
      const { record } = sealedTurn({ key: sessionKey(`s${i}`) });
      if (record.kind !== 'turn') throw new TypeError('a turn was asked for');
      return a.append({
        ...sealedTurn(),
        record: { ...record, payload: { mode: 'raw', messages: [], reply } } as never,
      });
    }),
  );
  // Until its stream is there, whoever wants to read it begins again and again.
  await eventually(() => expect(a.store.sharing.status().outbox[0]?.published).toBe(written.length));
  await b.open([a]);
  await b.eventuallyHolds(written);
  const restarts = b.environment.logLines.filter(({ event }) => event === 'pull_restarted');
  expect(restarts).toEqual([]);
});
