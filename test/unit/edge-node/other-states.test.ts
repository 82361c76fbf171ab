// State that was kept of models which a node serves no more, or under another key: nobody would tell whose sessions are gone.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { removeOtherStates } from '../../../src/edge-node/kept-state/kv-budget.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

async function leftOf(kept: readonly string[]): Promise<string[]> {
  const root = mkdtempSync(join(tmpdir(), 'other-states-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const name of ['a', 'ab', 'sealed-1/c', 'sealed-1/d', 'sealed-2/e'])
    mkdirSync(join(root, name), { recursive: true });
  const { logger, logLines } = virtualEnvironment();
  const folders = kept.map((name) => join(root, name));
  await removeOtherStates(root, folders, logger);
  await removeOtherStates(join(root, 'nowhere'), [], logger);
  expect(logLines).toEqual([]);
  return readdirSync(root, { recursive: true }).map(String).sort();
}

test('goes when a node starts without them', async () => {
  expect(await leftOf([])).toEqual([]);
  expect(await leftOf(['a'])).toEqual(['a']);
  expect(await leftOf(['sealed-1/c'])).toEqual(['sealed-1', 'sealed-1/c']);
});
