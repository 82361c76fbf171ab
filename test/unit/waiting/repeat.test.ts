// Does something again and again: tries to have two of it under way at once, to have it begun after its end, or to leave while it is
// under way.
import { expect, test } from 'vitest';
import { repeat } from '../../../src/waiting/repeat.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

test('is done each time that long after the last one ended, and waited for at the end', async () => {
  const { clock, advance } = virtualEnvironment();
  const begunAtMs: number[] = [];
  let finish = () => {};
  const end = repeat({ clock, everyMs: 100 }, () => {
    begunAtMs.push(clock.monotonic());
    return new Promise<void>((resolve) => {
      finish = resolve;
    });
  });
  await advance(1_000);
  expect(begunAtMs).toEqual([100]);
  finish();
  await advance(100);
  expect(begunAtMs).toEqual([100, 1_100]);

  let hasEnded = false;
  const ended = end().then(() => {
    hasEnded = true;
  });
  await advance(1_000);
  expect(hasEnded).toBe(false);
  finish();
  await ended;
  await advance(1_000);
  expect(begunAtMs).toHaveLength(2);
});

test('ends at once while it waits, and holds no timer then', async () => {
  const environment = virtualEnvironment();
  const { clock } = environment;
  let times = 0;
  const end = repeat({ clock, everyMs: 100 }, () => {
    times += 1;
  });
  await environment.advance(350);
  expect(times).toBe(3);
  await end();
  expect(environment.pendingTimers).toBe(0);
  await environment.advance(1_000);
  expect(times).toBe(3);
});
