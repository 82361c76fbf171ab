// A time that goes on while the machine sleeps. Tries to make it stand still through a sleep, also one in which the time of day was
// put back, to make it jump with the time of day, and to make it read the uptime, which is a file, at every look.
import { expect, test } from 'vitest';
import { steadyTime } from '../../../src/environment/steady-time.ts';

function machine() {
  const at = { wallMs: 1_700_000_000_000, awakeMs: 50.5, uptimeMs: 900_000, uptimeReads: 0 };
  const pass = (ms: number) => {
    at.wallMs += ms;
    at.awakeMs += ms;
    at.uptimeMs += ms;
  };
  const steady = steadyTime({
    wallMs: () => at.wallMs,
    awakeMs: () => at.awakeMs,
    uptimeMs: () => {
      at.uptimeReads++;
      return Math.floor(at.uptimeMs / 10) * 10;
    },
  });
  const sleep = (ms: number) => {
    at.wallMs += ms;
    at.uptimeMs += ms;
  };
  return { at, pass, sleep, steady };
}

test('a sleep has passed at the first look after it', () => {
  const { pass, sleep, steady } = machine();
  const before = steady();
  pass(5);
  sleep(3_600_000);
  expect(steady() - before).toBeCloseTo(3_600_005, -2);
});

test('a sleep is noticed within a second though the time of day was put back by as much', () => {
  const { at, pass, sleep, steady } = machine();
  const before = steady();
  sleep(3_600_000);
  at.wallMs -= 3_600_000;
  pass(1_000);
  expect(steady() - before).toBeCloseTo(3_601_000, -2);
});

test('the time of day may jump as it likes', () => {
  const { at, pass, steady } = machine();
  const before = steady();
  for (const jump of [90_000_000, -90_000_000, -1_700_000_000_000]) {
    at.wallMs += jump;
    pass(1);
    steady();
  }
  expect(steady() - before).toBeCloseTo(3, 6);
});

test('looks in quick succession read no uptime', () => {
  const { at, pass, steady } = machine();
  const { uptimeReads } = at;
  for (let look = 0; look < 990; look++) {
    pass(1);
    steady();
  }
  expect(at.uptimeReads).toBe(uptimeReads);
});
