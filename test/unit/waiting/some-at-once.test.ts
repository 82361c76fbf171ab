import { expect, it } from 'vitest';
import { someAtOnce } from '../../../src/waiting/some-at-once.ts';

it('makes each in order, and no more at once than it may', async () => {
  const ends: (() => void)[] = [];
  const begun: number[] = [];
  const all = someAtOnce([1, 2, 3, 4], 2, async (n) => {
    begun.push(n);
    await new Promise<void>((resolve) => ends.push(resolve));
    return n * 10;
  });
  expect(begun).toEqual([1, 2]);
  ends[1]?.();
  await expect.poll(() => begun).toEqual([1, 2, 3]);
  ends[2]?.();
  await expect.poll(() => begun).toEqual([1, 2, 3, 4]);
  ends[0]?.();
  ends[3]?.();
  expect(await all).toEqual([10, 20, 30, 40]);
});

it('begins nothing after a failure', async () => {
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const all = someAtOnce([1, 2, 3], 2, async (n) => {
    begun.push(n);
    if (n === 1) throw new Error('one');
    await new Promise<void>((resolve) => ends.push(resolve));
  });
  await expect(all).rejects.toThrow('one');
  for (const end of ends) end();
  await new Promise(setImmediate);
  expect(begun).toEqual([1, 2]);
});

it('of nothing makes nothing', async () => {
  expect(await someAtOnce([], 2, async () => 1)).toEqual([]);
});
