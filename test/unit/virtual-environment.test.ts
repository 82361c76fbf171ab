// Tries to catch the test clock lying: timers out of order, timers set by promise code missed, cancelled ones run.
import { expect, test } from 'vitest';
import { virtualEnvironment } from '../../tools/virtual-environment.ts';

test('timers run in the order of their time, and the clock shows that time', async () => {
  const environment = virtualEnvironment({ startMs: 1_000 });
  const seen: [string, number][] = [];
  for (const delayMs of [30, 10, 20]) {
    environment.clock.after(delayMs, () => seen.push([`${delayMs}`, environment.clock.now()]));
  }
  await environment.advance(25);
  expect(seen).toEqual([
    ['10', 1_010],
    ['20', 1_020],
  ]);
  expect(environment.clock.now()).toBe(1_025);
  expect(environment.pendingTimers).toBe(1);
});

test('a timer set by code behind a promise is met in the same advance', async () => {
  const environment = virtualEnvironment();
  const wait = (ms: number) => new Promise<void>((resolve) => environment.clock.after(ms, resolve));
  let rounds = 0;
  void (async () => {
    for (; rounds < 5; rounds++) await wait(10);
  })();
  await environment.advance(45);
  expect(rounds).toBe(4);
});

test('a cancelled timer does not run', async () => {
  const environment = virtualEnvironment();
  let ran = false;
  const cancel = environment.clock.after(5, () => {
    ran = true;
  });
  cancel();
  await environment.advance(10);
  expect(ran).toBe(false);
});

test('a jump moves the wall clock and neither durations nor timers', async () => {
  const environment = virtualEnvironment({ startMs: 1_000_000 });
  let ran = false;
  environment.clock.after(5, () => {
    ran = true;
  });
  environment.jump(-500_000);
  await environment.advance(1);
  expect([environment.clock.now(), environment.clock.monotonic(), ran]).toEqual([500_001, 1, false]);
});

test('a seed repeats its chances, another gives others', () => {
  const draw = (seed: number) => Buffer.from(virtualEnvironment({ seed }).random.bytes(32)).toString('hex');
  expect(draw(7)).toBe(draw(7));
  expect(draw(7)).not.toBe(draw(8));
  const { random } = virtualEnvironment();
  expect(random.uuid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(random.uuid()).not.toBe(random.uuid());
});

test('metrics are readable by name and labels; unknown names and labels are refused', async () => {
  const environment = virtualEnvironment();
  const counter = environment.metrics.counter({ name: 'c_total', help: 'c', labels: ['a'] });
  counter.add(2, { a: 'x' });
  counter.add(3, { a: 'x' });
  environment.metrics.histogram({ name: 'h_seconds', help: 'h', buckets: [1] }).observe(0.5);
  environment.metrics.gauge({ name: 'g', help: 'g' }, () => 4);
  environment.metrics.gauge({ name: 'each', help: 'e', labels: ['a'] }, () => [{ labels: { a: 'x' }, value: 6 }]);
  expect(await environment.metric('c_total', { a: 'x' })).toBe(5);
  expect(await environment.metric('c_total', { a: 'y' })).toBe(0);
  expect(environment.observations('h_seconds')).toEqual([0.5]);
  expect(await environment.metric('g')).toBe(4);
  expect(await environment.metric('each', { a: 'x' })).toBe(6);
  expect(await environment.metric('each', { a: 'y' })).toBe(0);
  expect(() => counter.add(1, { b: 'x' })).toThrow('labels');
  await expect(environment.metric('none')).rejects.toThrow('no metric none');
});
