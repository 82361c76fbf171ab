// Tries to make a wait outlive its signal, or lose what the work comes to.
import { expect, test } from 'vitest';
import { abortable } from '../../../src/waiting/abortable.ts';

const never = new Promise<never>(() => {});

test('it comes to what the work comes to', async () => {
  const { signal } = new AbortController();
  expect(await abortable(Promise.resolve('done'), signal)).toBe('done');
  await expect(abortable(Promise.reject(new Error('broken')), signal)).rejects.toThrow('broken');
});

test('an abort, now or before, ends the wait with its reason', async () => {
  const abort = new AbortController();
  const waiting = abortable(never, abort.signal);
  abort.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  await expect(abortable(never, abort.signal)).rejects.toThrow('enough');
});

test('work that fails after the abort leaves no unhandled error', async () => {
  const abort = new AbortController();
  let fail = (_: Error) => {};
  const waiting = abortable(new Promise<never>((_, reject) => (fail = reject)), abort.signal);
  abort.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  fail(new Error('too late'));
  await new Promise(setImmediate);
});
