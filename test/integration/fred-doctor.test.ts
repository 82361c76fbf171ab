// What `discedge doctor` says of a node that is to share over FReD.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { checkReplication } from '../../src/doctor/replication-checks.ts';
import { freePort } from '../../tools/free-port.ts';
import { type FredNodes, startFredNodes } from '../support/fred-cluster.ts';

let nodes: FredNodes;
beforeAll(async () => {
  nodes = await startFredNodes();
});
afterAll(() => nodes.close());

const checks = (flags: Record<string, unknown>) =>
  checkReplication(
    loadConfig({
      env: {},
      flags: { nodeId: 'e1', store: `fred://${nodes.hosts[0]}`, fredCertsDir: nodes.certificates, ...flags },
    }),
    Date.now(),
  );

test('a FReD node that answers is fine, and those that it knows are named', async () => {
  expect(await checks({})).toMatchObject([
    { name: 'certificates', outcome: 'ok' },
    { name: 'FReD', outcome: 'ok', found: expect.stringContaining('node') },
  ]);
});

test('one that is away is no reason not to start', async () => {
  const store = `fred://127.0.0.1:${await freePort()}`;
  expect(await checks({ store })).toMatchObject([
    { outcome: 'ok' },
    { name: 'FReD', outcome: 'warn', found: expect.stringContaining('127.0.0.1') },
  ]);
});

test('without certificates that can be read it cannot start', async () => {
  const fredCertsDir = join(nodes.certificates, 'nowhere');
  expect(await checks({ fredCertsDir })).toMatchObject([
    { name: 'certificates', outcome: 'missing', found: expect.stringContaining('nowhere') },
  ]);
});
