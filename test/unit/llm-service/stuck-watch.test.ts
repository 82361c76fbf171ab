// Tries to make the watch give up an evaluation that goes on, wait for one that does not, or keep a timer after the end.
import { expect, test } from 'vitest';
import { ABORT_GRACE_MS, StuckWatch } from '../../../src/llm-service/embedded/stuck-watch.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

function watching(idleTimeoutMs = 5_000) {
  const environment = virtualEnvironment();
  const abort = new AbortController();
  const watch = new StuckWatch({ clock: environment.clock, caller: abort.signal, idleTimeoutMs });
  const outcome: { gaveUp?: unknown } = {};
  watch.gaveUp.catch((reason: unknown) => {
    outcome.gaveUp = reason;
  });
  return { environment, abort, watch, outcome };
}

test('an evaluation from which nothing comes is stopped and given up', async () => {
  const { environment, watch, outcome } = watching();
  await environment.advance(4_999);
  expect([watch.signal.aborted, outcome.gaveUp]).toEqual([false, undefined]);
  await environment.advance(1);
  expect(watch.signal.reason).toMatchObject({ code: 'llm_timeout' });
  expect(outcome.gaveUp).toBe(watch.signal.reason);
});

test('the time is counted from the latest id', async () => {
  const { environment, watch, outcome } = watching();
  for (let ids = 0; ids < 10; ids++) {
    await environment.advance(4_000);
    watch.progressed();
  }
  expect(outcome.gaveUp).toBeUndefined();
  await environment.advance(4_999);
  expect(outcome.gaveUp).toBeUndefined();
  await environment.advance(1);
  expect(outcome.gaveUp).toMatchObject({ code: 'llm_timeout' });
});

test('an abort reaches the evaluation at once, and is not waited for beyond its grace', async () => {
  const { environment, abort, watch, outcome } = watching();
  abort.abort('enough');
  expect(watch.signal.reason).toBe('enough');
  await environment.advance(ABORT_GRACE_MS - 1);
  expect(outcome.gaveUp).toBeUndefined();
  await environment.advance(1);
  expect(outcome.gaveUp).toBe('enough');
});

test('after its end nothing is given up and no timer is left', async () => {
  const { environment, abort, watch, outcome } = watching();
  watch.end();
  abort.abort('late');
  expect(environment.pendingTimers).toBe(0);
  await environment.advance(100_000);
  expect([watch.signal.aborted, outcome.gaveUp]).toEqual([false, undefined]);
});
