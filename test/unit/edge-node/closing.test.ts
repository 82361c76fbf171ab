// Tries to keep a node from stopping: parts that throw, reject, never close, or fail after they were given up.
import { expect, test } from 'vitest';
import { CLOSE_STEP_MS, Closing } from '../../../src/edge-node/closing.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

function started(steps: Record<string, () => Promise<void> | void>) {
  const environment = virtualEnvironment();
  const closing = new Closing(environment);
  const closed: string[] = [];
  for (const [name, close] of Object.entries(steps)) {
    closing.later(name, () => {
      closed.push(name);
      return close();
    });
  }
  const logged = () => environment.logLines.map(({ event, fields }) => [event, fields.part]);
  return { environment, closing, closed, logged };
}

test('parts are closed one after the other, the last started first, and once', async () => {
  let finishSecond = () => {};
  const { environment, closing, closed, logged } = started({
    first: () => {},
    second: () => new Promise<void>((resolve) => (finishSecond = resolve)),
    third: async () => {},
  });
  const runs = [closing.run(), closing.run()];
  await environment.advance(0);
  expect(closed).toEqual(['third', 'second']);
  finishSecond();
  await Promise.all(runs);
  expect(closed).toEqual(['third', 'second', 'first']);
  expect(logged()).toEqual([]);
  expect(environment.pendingTimers).toBe(0);
});

test('a part that fails is logged and keeps no other from closing', async () => {
  const { closing, closed, logged } = started({
    first: () => {},
    throws: () => {
      throw new Error('no');
    },
    rejects: () => Promise.reject(new Error('no')),
  });
  await closing.run();
  expect(closed).toEqual(['rejects', 'throws', 'first']);
  expect(logged()).toEqual([
    ['close_failed', 'rejects'],
    ['close_failed', 'throws'],
  ]);
});

test('a part that never closes is given up after its time and logged', async () => {
  const { environment, closing, closed, logged } = started({ first: () => {}, hangs: () => new Promise(() => {}) });
  const run = closing.run();
  await environment.advance(CLOSE_STEP_MS - 1);
  expect(closed).toEqual(['hangs']);
  await environment.advance(1);
  await run;
  expect(closed).toEqual(['hangs', 'first']);
  expect(logged()).toEqual([['close_timed_out', 'hangs']]);
});

test('what fails after it was given up is logged, and no unhandled rejection', async () => {
  let fail = (_error: Error) => {};
  const { environment, closing, logged } = started({ late: () => new Promise((_, reject) => (fail = reject)) });
  const run = closing.run();
  await environment.advance(CLOSE_STEP_MS);
  await run;
  fail(new Error('too late'));
  await environment.advance(0);
  expect(logged()).toEqual([
    ['close_timed_out', 'late'],
    ['close_failed', 'late'],
  ]);
});
