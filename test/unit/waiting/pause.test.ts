// Tries to make a pause last too long, end too soon, or leave a timer or a listener behind.
import { expect, test } from 'vitest';
import { Pause, pause } from '../../../src/waiting/pause.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

/** Whether a promise has settled by now. */
function watched(work: Promise<unknown>) {
  const seen = { isOver: false };
  void work.then(() => (seen.isOver = true));
  return seen;
}

test('it is over after its time, not before', async () => {
  const environment = virtualEnvironment();
  const seen = watched(pause(environment.clock, 100));
  await environment.advance(99);
  expect(seen.isOver).toBe(false);
  await environment.advance(1);
  expect(seen.isOver).toBe(true);
});

test('an abort ends it without an error, and takes its timer away', async () => {
  const environment = virtualEnvironment();
  const abort = new AbortController();
  const paused = pause(environment.clock, 100, abort.signal);
  abort.abort(new Error('enough'));
  await paused;
  expect(environment.pendingTimers).toBe(0);
});

test('a signal that has aborted before makes it no pause at all', async () => {
  const environment = virtualEnvironment();
  await pause(environment.clock, 100, AbortSignal.abort());
  expect(environment.pendingTimers).toBe(0);
});

test('whoever ends it ends it at once, and may do so again', async () => {
  const environment = virtualEnvironment();
  const ended = new Pause(environment.clock, 100);
  ended.end();
  ended.end();
  await ended.over;
  expect(environment.pendingTimers).toBe(0);
});

test('one without an end of its own sets no timer and waits for the others', async () => {
  const environment = virtualEnvironment();
  const abort = new AbortController();
  const endless = new Pause(environment.clock, Number.POSITIVE_INFINITY, abort.signal);
  const seen = watched(endless.over);
  await environment.advance(1_000_000);
  expect([seen.isOver, environment.pendingTimers]).toEqual([false, 0]);
  abort.abort();
  await endless.over;
});
