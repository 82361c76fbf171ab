// Tries to make a loop miss a ring, hear one twice, or wait after it was told to stop.
import { expect, test } from 'vitest';
import { Bell } from '../../../src/waiting/bell.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

function loop() {
  const environment = virtualEnvironment();
  const bell = new Bell(environment.clock);
  const stop = new AbortController();
  let rounds = 0;
  const wait = async (waitMs?: number) => {
    await bell.wait(stop.signal, waitMs);
    rounds++;
  };
  return { environment, bell, stop, wait, rounds: () => rounds };
}

test('a ring wakes the one that waits, and the next wait is a wait again', async () => {
  const { environment, bell, wait, rounds } = loop();
  void wait();
  await environment.advance(0);
  expect(rounds()).toBe(0);
  bell.ring();
  await environment.advance(0);
  expect(rounds()).toBe(1);
  void wait();
  await environment.advance(1_000);
  expect(rounds()).toBe(1);
});

test('rings while nobody waits end the next wait, and only that one', async () => {
  const { environment, bell, wait, rounds } = loop();
  bell.ring();
  bell.ring();
  await wait();
  void wait();
  await environment.advance(1_000);
  expect(rounds()).toBe(1);
});

test('its time being over ends a wait, and a ring takes the timer away', async () => {
  const { environment, bell, wait, rounds } = loop();
  void wait(100);
  await environment.advance(100);
  expect(rounds()).toBe(1);
  void wait(100);
  bell.ring();
  await environment.advance(0);
  expect([rounds(), environment.pendingTimers]).toEqual([2, 0]);
});

test('an abort ends the wait, and every later one', async () => {
  const { environment, stop, wait } = loop();
  const waiting = wait(100);
  stop.abort();
  await waiting;
  await wait(100);
  expect(environment.pendingTimers).toBe(0);
});
