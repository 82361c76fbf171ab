// Tries to break each reader of what comes from elsewhere with inputs that nobody should send: all that ever broke one or reached
// new code, and then a few seconds of new ones. Hours of it: npm run fuzz -- --minutes 60.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Coverage } from './coverage.ts';
import { fuzz } from './fuzz-run.ts';
import { openTarget, TARGETS } from './targets.ts';
import { Watchdog } from './watchdog.ts';

const FOR_MS = Number(process.env.DISCEDGE_TEST_FUZZ_MS ?? 1_000);
const SEED = Number(process.env.DISCEDGE_TEST_SEED ?? Date.now() % 2 ** 31);

let coverage: Coverage;
let watchdog: Watchdog;
beforeAll(() => {
  coverage = Coverage.start();
  watchdog = new Watchdog();
});
afterAll(async () => {
  coverage.stop();
  await watchdog.stop();
});

it.each(TARGETS)('%s', async (name) => {
  const target = await openTarget(name);
  try {
    const { inputs, faults } = await fuzz({ name, target, seed: SEED, forMs: FOR_MS, coverage, watchdog });
    const told = faults.map(
      ({ message, input, keptAs }) => `${message}\n${JSON.stringify(input.toString('latin1'))}\nkept as ${keptAs}`,
    );
    expect(told, `npm run fuzz -- --target ${name} --seed ${SEED}`).toEqual([]);
    expect(inputs).toBeGreaterThan(10);
  } finally {
    await target.close?.();
  }
});
