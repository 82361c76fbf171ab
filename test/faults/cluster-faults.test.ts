// Three edge nodes with their nats-servers as real processes, each in a network namespace of its own where that is allowed,
// under clients that roam at random, take turns, repeat them, change their minds and delete. Every kind of fault is done to
// them once (tools/cluster/faults.ts). Each reply is held against what its client had been told before, and at the end
// every node's disk against every other's and against all that was acknowledged. `npm run test:faults` is the long version.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FAULTS } from '../../tools/cluster/faults.ts';
import { type LaunchedRun, launchedRun } from '../../tools/cluster/launch.ts';
import { type RunningProcess, startProcess } from '../../tools/processes.ts';

const SEED = Number(process.env.DISCEDGE_TEST_SEED ?? 1);
const REPEAT = `repeat it with: npm run test:faults -- --seed ${SEED}`;
/** The whole matrix, on a loaded machine. */
const WAIT_MS = 600_000;

let launched: LaunchedRun;
let run: RunningProcess;
beforeAll(async () => {
  launched = await launchedRun(['--seed', String(SEED)]);
  run = await startProcess({ name: 'fault run', command: launched.command, args: launched.args });
});
afterAll(async () => {
  // The first process of the namespaces takes no other signal from outside.
  run?.kill('SIGKILL');
  await run?.exited;
  launched?.remove();
});

test.for(FAULTS.map(({ name }) => name))('%s', { timeout: WAIT_MS }, async (name, { skip }) => {
  const [line, outcome] = await run.waitForLine(new RegExp(`^(ok|FAILED|skipped) ${escaped(name)}(?:: | \\[).*`), {
    waitMs: WAIT_MS,
  });
  console.log(line);
  if (outcome === 'skipped') skip(line);
  expect(outcome, `${run.log()}\n${REPEAT}`).toBe('ok');
});

test('every promise was kept', { timeout: WAIT_MS }, async () => {
  const [line, outcome] = await run.waitForLine(/^(kept|BROKEN) \{.*/, { waitMs: WAIT_MS });
  console.log(line);
  expect(outcome, `${run.log()}\n${REPEAT}`).toBe('kept');
  expect(await run.exited).toEqual({ code: 0, signal: null });
});

function escaped(text: string): string {
  return text.replaceAll(/[^\w ]/g, '\\$&');
}
