import { expect, test } from 'vitest';
import { OneAtATime } from '../../../src/waiting/one-at-a-time.ts';

test('work is done in the order in which it came, one at a time, and what fails fails for itself alone', async () => {
  const inTurn = new OneAtATime();
  const told: string[] = [];
  const work = (name: string, fails = false) =>
    inTurn.run(async () => {
      told.push(`${name} begins`);
      await new Promise(setImmediate);
      told.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    });
  const all = await Promise.allSettled([work('one'), work('two', true), work('three')]);
  expect(told).toEqual(['one', 'two', 'three'].flatMap((name) => [`${name} begins`, `${name} ends`]));
  expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
});
