// Tries to get an append acknowledged that is not on the disk, or a store that never recovers: the calls by which LevelDB
// writes and syncs are made to fail beneath it, one kind at a time. An acknowledgement that does not wait for the sync
// would pass the failing sync by. Or a sync takes longer than anybody waits, and ends, or the process is killed in it: what
// became of the append is told rightly from then on. Needs a C compiler, for a library that is loaded before libc.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startProcess } from '../../tools/processes.ts';
import { failingDisk } from '../support/failing-disk.ts';

const temporary = temporaryFolder();
afterAll(() => temporary.remove());

const supportPath = (name: string) => fileURLToPath(new URL(`../support/${name}`, import.meta.url));
const { path: library, whyNot } = failingDisk(temporary.path);

test.each(['fdatasync', 'write', 'torn'])(
  'a failing %s refuses appends, keeps reads, and is survived',
  async (failure) => {
    if (whyNot !== undefined) return;
    const failures = join(temporary.path, `${failure}-failures`);
    mkdirSync(failures);
    const program = await startProcess({
      name: 'store-on-failing-disk',
      command: process.execPath,
      args: ['--import', 'tsx', supportPath('store-on-failing-disk.ts'), join(temporary.path, failure), failure],
      env: { LD_PRELOAD: library, FAILING_DISK: failures },
    });
    const [, json = ''] = await program.waitForLine(/report (.*)/);
    expect(await program.exited).toEqual({ code: 0, signal: null });

    const refused = 'store_unavailable';
    const sums = { sessions: 3, records: 3, corruptRecords: 0 };
    expect(JSON.parse(json)).toMatchObject({
      before: 'acknowledged',
      during: [refused, refused, refused],
      heldDuring: ['before'],
      after: 'acknowledged',
      retried: 'acknowledged',
      heldAfter: ['before', 'during-1', 'after'],
      status: sums,
      heldReopened: ['before', 'during-1', 'after'],
      statusReopened: sums,
    });
  },
);

test('a sync that takes too long leaves the outcome open, and then it is told; a killed process leaves a whole store', async () => {
  if (whyNot !== undefined) return;
  const failures = join(temporary.path, 'hang-failures');
  mkdirSync(failures);
  const run = async (step: string) => {
    const program = await startProcess({
      name: 'store-on-hanging-disk',
      command: process.execPath,
      args: ['--import', 'tsx', supportPath('store-on-hanging-disk.ts'), join(temporary.path, 'hang'), step],
      env: { LD_PRELOAD: library, FAILING_DISK: failures },
    });
    const [, json = ''] = await program.waitForLine(/report (.*)/);
    return { report: JSON.parse(json), exit: await program.exited };
  };
  expect(await run('hang')).toEqual({
    report: {
      before: 'acknowledged',
      during: 'outcome unknown',
      behind: 'store_unavailable',
      heldDuring: 1,
      heldAfter: 2,
      toldAfter: 2,
      again: 'acknowledged',
      heldAgain: 2,
    },
    exit: { code: 0, signal: null },
  });
  expect(await run('kill')).toMatchObject({ report: { during: 'outcome unknown' }, exit: { signal: 'SIGKILL' } });
  rmSync(join(failures, 'hang'));
  const { report } = await run('look');
  expect([2, 3]).toContain(report.held);
  expect(report).toMatchObject({ corrupt: 0, again: 'acknowledged', heldAgain: 3 });
});
