/*
 * Reads what nobody should send, for as long as is asked.
 *
 *     npm run fuzz -- --minutes 60 [--target NAME] [--seed N] [--keep]
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { Corpus } from './corpus.ts';
import { Coverage } from './coverage.ts';
import { fuzz } from './fuzz-run.ts';
import { openTarget, TARGETS } from './targets.ts';
import { Watchdog } from './watchdog.ts';

/** Each target gets its turn before any has a second one. */
const ROUND_MS_MAX = 120_000;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    target: { type: 'string', multiple: true, default: TARGETS as string[] },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    /** Keeps in the corpus what reaches code that none of its inputs did. */
    keep: { type: 'boolean', default: false },
  },
});
const unknown = values.target.filter((name) => !TARGETS.includes(name));
if (unknown.length > 0) throw new Error(`no target ${unknown.join(', ')}; there are ${TARGETS.join(', ')}`);

const coverage = Coverage.start();
const watchdog = new Watchdog();
const until = Date.now() + Number(values.minutes) * 60_000;
const forMs = Math.min(ROUND_MS_MAX, (Number(values.minutes) * 60_000) / values.target.length);
let hasFailed = false;
for (let seed = Number(values.seed); Date.now() < until && !hasFailed; seed++) {
  for (const name of values.target) {
    const target = await openTarget(name);
    const { inputs, faults, reached } = await fuzz({ name, target, seed, forMs, coverage, watchdog });
    await target.close?.();
    process.stdout.write(
      `${name}: seed ${seed}, ${inputs} inputs, ${reached.length} reach new code, ${faults.length} faults\n`,
    );
    for (const { kind, message, input, keptAs } of faults) {
      hasFailed = true;
      process.stdout.write(
        `  ${kind}\n  ${message}\n  ${JSON.stringify(input.toString('latin1').slice(0, 400))}\n  kept as ${keptAs}\n`,
      );
    }
    if (values.keep) new Corpus(name).keepReached(reached);
  }
}
await watchdog.stop();
coverage.stop();
process.exitCode = hasFailed ? 1 : 0;
