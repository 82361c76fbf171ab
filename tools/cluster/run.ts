/*
 * Clients roam among three edge nodes while faults are done to them, inside the namespaces that launch.ts makes. Prints a
 * line for each fault, and last one with the sums; the exit status says whether every promise was kept.
 */
import { cpSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Chance } from '../chance.ts';
import { FaultRun } from './fault-run.ts';
import { FAULTS, type Fault } from './faults.ts';
import type { Violation } from './history.ts';

const SHORT_HOLD_MS = 2_000;
const LONG_HOLD_MS = 30_000;
/** Between two faults, with load. */
const CALM_MS = 300;
const VIOLATIONS_SHOWN_MAX = 20;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    /** Random faults for so long; without it each kind once, in the order of their list. */
    minutes: { type: 'string' },
    clients: { type: 'string', default: '8' },
    only: { type: 'string' },
    folder: { type: 'string' },
    'nats-program': { type: 'string' },
    'no-namespaces': { type: 'string' },
    'keep-logs': { type: 'string' },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6));
const again = ['npm run test:faults --', `--seed ${seed}`, values.minutes && `--minutes ${values.minutes}`];
const print = (line: string) => process.stdout.write(`${line}\n`);
const chance = new Chance(seed + 1);
const run = await FaultRun.start({
  seed,
  print,
  folder: values.folder as string,
  natsProgram: values['nats-program'] as string,
  whyNoNamespaces: values['no-namespaces'],
  clients: Number(values.clients),
});
const beganMs = performance.now();
let violations = 0;
let faults = 0;

function note(found: readonly Violation[]): void {
  for (const { rule, what } of found) if (++violations <= VIOLATIONS_SHOWN_MAX) print(`  BROKEN ${rule}: ${what}`);
}

/** One fault, or two that go together: mending the network mends all of it. */
function drawn(kinds: readonly Fault[]): Fault[] {
  const first = chance.of(kinds);
  const second = chance.of(kinds);
  const goTogether = !first.isAlone && !second.isAlone && (first.needs !== 'network' || second.needs !== 'network');
  return goTogether && chance.oneIn(2) ? [first, second] : [first];
}

async function inflict(kinds: readonly Fault[], holdMs: number): Promise<void> {
  const { where, tookMs, catchUpMs, acknowledged, violations: found } = await run.inflict(kinds, holdMs);
  faults += kinds.length;
  print(
    `${found.length > 0 ? 'FAILED' : 'ok'} ${kinds.map(({ name }) => name).join(', and ')}${where && ` [${where}]`}: ${tookMs} ms, ${acknowledged} turns acknowledged, caught up ${catchUpMs} ms after it`,
  );
  note(found);
  await new Promise((resolve) => setTimeout(resolve, CALM_MS));
}

try {
  const known = FAULTS.filter(({ name }) => values.only === undefined || name.includes(values.only));
  for (const fault of known) {
    const whyNot = run.whyNot(fault);
    if (whyNot !== undefined) print(`skipped ${fault.name}: ${whyNot}`);
  }
  const possible = known.filter((fault) => run.whyNot(fault) === undefined);
  if (values.minutes === undefined) {
    for (const fault of possible) await inflict([fault], SHORT_HOLD_MS);
  } else {
    const endMs = beganMs + Number(values.minutes) * 60_000;
    const any = possible.filter(({ isLast }) => !isLast);
    while (performance.now() < endMs)
      await inflict(drawn(any), chance.oneIn(4) ? LONG_HOLD_MS : chance.below(LONG_HOLD_MS / 3));
    for (const last of possible.filter(({ isLast }) => isLast)) await inflict([last], SHORT_HOLD_MS);
  }
  const { equalMs, goneWithDisks, violations: last } = await run.finish();
  note(last);
  const { acknowledged, repeated, stuck, failures } = run.observations;
  print(
    `${violations === 0 ? 'kept' : 'BROKEN'} ${JSON.stringify({ seed, faults, acknowledged, repeated, stuck, goneWithDisks, equalMs, seconds: Math.round((performance.now() - beganMs) / 1_000), violations, failures })}`,
  );
  if (violations > 0) print(`repeat it with: ${again.filter(Boolean).join(' ')}`);
} finally {
  await run.end();
  if (values['keep-logs'] !== undefined) cpSync(run.logFolder(), values['keep-logs'], { recursive: true });
}
process.exit(violations === 0 ? 0 : 1);
