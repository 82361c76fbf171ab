// Tries to make the delays grow beyond their limit, or stay long after something went well.
import { expect, test } from 'vitest';
import { BackOff } from '../../../src/waiting/back-off.ts';

test('delays double up to the longest, and start again once something went well', () => {
  const backOff = new BackOff({ firstMs: 100, maxMs: 500 });
  expect([1, 2, 3, 4, 5].map(() => backOff.next())).toEqual([100, 200, 400, 500, 500]);
  backOff.reset();
  expect(backOff.next()).toBe(100);
});

test('the next delay can be told without taking it', () => {
  const backOff = new BackOff({ firstMs: 100, maxMs: 500 });
  backOff.next();
  expect([backOff.nextMs, backOff.nextMs, backOff.next()]).toEqual([200, 200, 200]);
});
