// Programs that are there, missing, broken or silent, as scripts on a PATH of their own. Tries to have doctor call a program that
// does not run all right, or not find the version that one prints.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { EdgeNodeConfig } from '../../../src/config/config.ts';
import { checkOptionalPrograms } from '../../../src/doctor/program-checks.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'discedge-doctor-'));
  vi.stubEnv('PATH', folder);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

function script(name: string, body: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`);
  chmodSync(join(folder, name), 0o755);
}

test.each([
  ['nats-server', 'echo "nats-server: v2.15.1"', 'ok', 'nats-server: v2.15.1'],
  ['llama-server', 'echo "some backend"; echo "version: 4711 (abcdef)" >&2', 'ok', 'version: 4711 (abcdef)'],
  ['llama-server', 'echo hello', 'ok', 'found; tells no version'],
  [
    'llama-server',
    'echo "error while loading shared libraries" >&2; exit 127',
    'warn',
    expect.stringMatching(/does not run/),
  ],
  ['nats-server', undefined, 'warn', expect.stringMatching(/not on PATH/)],
])('%s: %s', async (name, body, outcome, found) => {
  if (body !== undefined) script(name, body);
  const checks = await checkOptionalPrograms({ replication: undefined } as unknown as EdgeNodeConfig);
  expect(checks.find((check) => check.name === name)).toMatchObject({ outcome, found });
});
