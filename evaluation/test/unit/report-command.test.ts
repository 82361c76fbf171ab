// Calls `discedge report` as a shell would, in this process: what is printed, and the exit status of wrong calls.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { runCli } from 'discedge/internal/cli/program';
import { afterEach, expect, it, vi } from 'vitest';
import { loadRows, testFolder, writeRows } from '../samples/sample-rows.ts';

afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

async function called(...args: string[]) {
  const printed = { out: '', error: '' };
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed.out += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    printed.error += text;
    return true;
  });
  await runCli(['report', ...args]);
  vi.restoreAllMocks();
  return { ...printed, status: process.exitCode };
}

it('prints the findings and where the files are', async () => {
  const folder = join(testFolder(), 'new');
  const { out, status } = await called(writeRows(loadRows({ repeats: 2 })), '--output', folder);
  expect(status).toBeUndefined();
  expect(out).toContain('Turns per second at best');
  expect(out).toContain(join(folder, 'index.html'));
  expect(existsSync(join(folder, 'parallel-users.png'))).toBe(true);
});

it('says of an incomplete run that it is one', async () => {
  const rows = loadRows({ repeats: 2 }).slice(0, -1);
  const { out } = await called(writeRows(rows), '-o', testFolder());
  expect(out).toContain('incomplete: it was cut off');
});

it('wrong calls end with status 2, unusable files with 1', async () => {
  expect(await called('--compare', 'one.ndjson')).toMatchObject({
    status: 2,
    error: expect.stringContaining('two runs'),
  });
  expect((await called()).status).toBe(2);
  const unusable = await called('/nowhere/run.ndjson');
  expect(unusable).toMatchObject({ status: 1, error: expect.stringContaining('/nowhere/run.ndjson') });
});
