// npm run test:fred -- --fred HOST:PORT,HOST:PORT,… --certs DIR
//
// Runs what tests the FReD store against FReD nodes that somebody has started, instead of the double. What needs a node to be
// cut off, killed or wiped is skipped: that is done to doubles only. Tests leave keygroups of their own names behind.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { FredClient } from '../src/context-store/fred/wire/fred-client.ts';
import type { FredTls } from '../src/context-store/fred/wire/fred-tls.ts';
import { nodeEnvironment } from '../src/environment/node-environment.ts';
import { fredCertificates } from './fred-certificates.ts';

const USAGE = 'npm run test:fred -- --fred HOST:PORT,HOST:PORT,… --certs DIR';
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const VITEST = join(ROOT, 'node_modules/vitest/vitest.mjs');
/** Of the path of every test file that runs on FReD nodes. */
const TESTS = 'test/integration/fred-';

const { hosts, certs, rest } = called();
const tls = await fredCertificates(certs).catch((error: Error) => refuse(error.message));
for (const host of hosts) await greet(host, tls);
const child = spawn(process.execPath, [VITEST, 'run', '--project', 'full', TESTS, ...rest], {
  cwd: ROOT,
  stdio: 'inherit',
  env: { ...process.env, DISCEDGE_FRED: hosts.join(','), DISCEDGE_FRED_CERTS: certs },
});
const [status] = (await once(child, 'exit')) as [number | null];
process.exitCode = status ?? 1;

function called() {
  try {
    const options = { fred: { type: 'string' }, certs: { type: 'string' } } as const;
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    const given = values.fred?.split(',').map((host) => host.trim()) ?? [];
    if (given.length < 2 || !given.every((host) => /^[^\s:]+:\d+$|^\[[\da-f:]+\]:\d+$/i.test(host)))
      throw new Error('--fred takes the client ports of two or more FReD nodes');
    if (values.certs === undefined) throw new Error('--certs is missing: the folder that "discedge certs fred" made');
    return { hosts: given, certs: resolve(values.certs), rest: positionals };
  } catch (error) {
    return refuse((error as Error).message);
  }
}

async function greet(host: string, files: FredTls): Promise<void> {
  const { clock } = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
  const fred = new FredClient({ host, tls: files, clock });
  try {
    const nodes = await fred.nodes();
    console.log(`${host} answers; it knows ${nodes.map(({ nodeId }) => nodeId).join(', ')}`);
  } catch (error) {
    refuse((error as Error).message);
  } finally {
    fred.close();
  }
}

function refuse(message: string): never {
  process.stderr.write(`test:fred: ${message}\n\nUsage: ${USAGE}\n`);
  process.exit(2);
}
