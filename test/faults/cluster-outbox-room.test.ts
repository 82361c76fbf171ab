// A nats-server that was given room for a fraction of what its node writes, and one that met a full disk and refuses to
// write ever after. Records must go on reaching the peers at once, not only with the next greeting, and a peer that was away
// must get those for which the stream has no room any more.
import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findProgram } from '../../tools/processes.ts';
import { type Cluster, startCluster } from '../support/nats-cluster.ts';
import { eventually } from '../support/sharing-store-node.ts';

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
  await eventually(() => expect(a.store.sharing.status().outbox[0]?.published).toBe(records.length));
  // A record can be read a moment before its watchers are told.
  await eventually(() => expect(new Set(b.arrived).size).toBe(records.length));
  expect(b.arrived).toHaveLength(records.length);

  await away.open([a]);
  await away.eventuallyHolds(records);
});

test('a server that stores nothing any more is started again', async (context) => {
  if (findProgram('prlimit') === undefined)
    context.skip('there is no prlimit, to make writes of a running process fail');
  const a = await cluster.node('a');
  const b = await cluster.node('b');
  let restarts = 0;
  await a.open([b], {
    restartServer: () => {
      restarts++;
      void a.killServer().then(() => a.startServer());
    },
  });
  await b.open([a]);
  await b.eventuallyHolds(await a.writeMany(10, 'before'));
  const limitFiles = (to: string) => execFileSync('prlimit', ['--pid', `${a.serverPid}`, `--fsize=${to}:unlimited`]);
  limitFiles('0');
  const records = await a.writeMany(10, 'after');
  await eventually(() => expect(a.environment.logLines.map(({ event }) => event)).toContain('outbox_waits'));
  limitFiles('unlimited');
  await b.eventuallyHolds(records);
  await eventually(() => expect(a.store.sharing.status().outbox[0]?.published).toBe(20));
  expect(restarts).toBe(1);
});
