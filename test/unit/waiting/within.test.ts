// Tries to make a limited wait last longer than its limit, call somebody late who was not, or leave its timer behind.
import { expect, test } from 'vitest';
import { within } from '../../../src/waiting/within.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const never = new Promise<never>(() => {});

test('work in time is what it comes to, and nobody is told late', async () => {
  const environment = virtualEnvironment();
  const limit = { clock: environment.clock, waitMs: 100 };
  let late = 0;
  const whenLate = () => void late++;
  expect(await within(limit, Promise.resolve('done'), whenLate)).toBe('done');
  await expect(within(limit, Promise.reject(new Error('broken')), whenLate)).rejects.toThrow('broken');
  await environment.advance(1_000);
  expect([late, environment.pendingTimers]).toEqual([0, 0]);
});

test('work that is late is what was said for that case: a value, another wait, or an error', async () => {
  const environment = virtualEnvironment();
  const limit = { clock: environment.clock, waitMs: 100 };
  const value = within(limit, never, () => 'late');
  const again = within(limit, never, () => within(limit, never, () => 'later still'));
  const thrown = within(limit, never, () => {
    throw new Error('too late');
  });
  thrown.catch(() => {});
  await environment.advance(100);
  expect(await value).toBe('late');
  await expect(thrown).rejects.toThrow('too late');
  await environment.advance(100);
  expect(await again).toBe('later still');
  expect(environment.pendingTimers).toBe(0);
});

test('work that fails after its time leaves no unhandled error', async () => {
  const environment = virtualEnvironment();
  let fail = (_: Error) => {};
  const work = new Promise<never>((_, reject) => (fail = reject));
  const late = within({ clock: environment.clock, waitMs: 100 }, work, () => 'late');
  await environment.advance(100);
  expect(await late).toBe('late');
  fail(new Error('too late'));
  await new Promise(setImmediate);
});
