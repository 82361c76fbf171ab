// KV state is written in the clear, so with encryption on it may lie in memory alone. Tries to have it written to a disk, and to have
// what was written there before left.
import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { keptStateOf } from '../../../src/edge-node/kv-budget.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { keyLine } from '../../support/key-rings.ts';

const MEMORY = '/dev/shm';
const TMPFS = 0x0102_1994;
const isMemory = (path: string) => existsSync(path) && statfsSync(path).type === TMPFS;

async function keptIn(parent: string, { isEncrypted }: { isEncrypted: boolean }) {
  const folder = mkdtempSync(join(parent, 'discedge-kv-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const node = loadConfig({
    flags: { kvDir: folder, nodeId: 'n' },
    env: isEncrypted ? { DISCEDGE_ENCRYPTION_KEY: keyLine('a') } : {},
  });
  const before = join(folder, 'n', 'model', 'before.kv');
  mkdirSync(join(before, '..'), { recursive: true });
  writeFileSync(before, 'state');
  const environment = virtualEnvironment();
  const kept = await keptStateOf('model.gguf', { modelName: undefined, node, environment });
  return { kept, isBeforeLeft: existsSync(before), logged: environment.logLines.map(({ event }) => event) };
}

test.skipIf(isMemory(tmpdir()))('on a disk none is kept, and what was there is gone', async () => {
  expect(await keptIn(tmpdir(), { isEncrypted: false })).toMatchObject({ kept: {}, isBeforeLeft: true, logged: [] });
  expect(await keptIn(tmpdir(), { isEncrypted: true })).toEqual({
    kept: undefined,
    isBeforeLeft: false,
    logged: ['llm.keeps_no_state'],
  });
});

test.skipIf(!isMemory(MEMORY))('in memory it is kept as ever', async () => {
  expect(await keptIn(MEMORY, { isEncrypted: true })).toMatchObject({ kept: {}, isBeforeLeft: true, logged: [] });
});
