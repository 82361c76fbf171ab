import { expect, test } from 'vitest';
import { Stop } from '../../../src/waiting/stop.ts';

test('who listens before and who asks after the sign was given hear the same, first reason', () => {
  const stop = new Stop();
  stop.throwIfAborted();
  const before = stop.signal;
  expect(before.aborted).toBe(false);
  const reason = new Error('first');
  stop.abort(reason);
  stop.abort(new Error('second'));
  expect(() => stop.throwIfAborted()).toThrow(reason);
  expect(before.reason).toBe(reason);

  const unheard = new Stop();
  unheard.abort(reason);
  expect(unheard.signal.aborted).toBe(true);
  expect(unheard.signal.reason).toBe(reason);
});
