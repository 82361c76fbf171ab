import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Chance } from '../../tools/chance.ts';
import { Corpus } from './corpus.ts';
import type { Coverage } from './coverage.ts';
import { type Fault, faultOf } from './fault.ts';
import { type FuzzTarget, INPUT_BYTES_MAX } from './fuzz-target.ts';
import { mutated } from './mutations.ts';
import { shrunk } from './shrink.ts';
import type { Watchdog } from './watchdog.ts';

export interface FuzzRun {
  readonly name: string;
  readonly target: FuzzTarget;
  readonly seed: number;
  readonly forMs: number;
  readonly coverage: Coverage;
  readonly watchdog: Watchdog;
}

export interface FuzzOutcome {
  readonly inputs: number;
  /** Of each kind the first, as short as it could be made. */
  readonly faults: readonly (Fault & { readonly input: Buffer; readonly keptAs: string })[];
  /** All that reached code which those before had not, and are no seeds. */
  readonly reached: readonly Buffer[];
}

/** Asking what has run costs about as much as so many inputs of a small reader. */
const BATCH = 40;
/** A mistake that is everywhere need not be written down everywhere. */
const FAULTS_MAX = 5;
/** What all kept inputs, read again, may leave behind: caches fill, and then no more. */
const LEFT_BYTES_MAX = 16 * 1024 * 1024;

/** Reads the corpus, then changed inputs until the time is over; those that reach new code are changed further. */
export async function fuzz(run: FuzzRun): Promise<FuzzOutcome> {
  const { name, target, seed, forMs, coverage, watchdog } = run;
  const corpus = new Corpus(name);
  const faults = new Map<string, FuzzOutcome['faults'][number]>();
  const chance = new Chance(seed);
  const reached: Buffer[] = [];
  let inputs = 0;
  const tried = async (input: Buffer) => {
    inputs++;
    watchdog.begin(input, corpus.folder);
    const fault = await faultOf(target, input);
    watchdog.end();
    if (fault === undefined || faults.has(fault.kind) || faults.size >= FAULTS_MAX) return;
    const shortest = await shrunk(target, input, fault);
    faults.set(fault.kind, { ...fault, input: shortest, keptAs: corpus.keepFault(shortest) });
  };

  coverage.forget();
  const seeds = target.seeds.map((bytes) => Buffer.from(bytes as Uint8Array));
  const known = [...seeds, ...corpus.all()];
  for (const input of known) {
    await tried(input);
    if (coverage.reachedMore()) reached.push(input);
  }
  const parts = {
    ...{ chance, others: known, words: target.words ?? [], isJson: target.isJson === true },
    bytesMax: target.inputBytesMax ?? INPUT_BYTES_MAX,
  };
  const until = Date.now() + forMs;
  while (Date.now() < until && faults.size < FAULTS_MAX) {
    const batch: Buffer[] = [];
    while (batch.length < BATCH && Date.now() < until) {
      const input = mutated(chance.of(known), parts);
      batch.push(input);
      await tried(input);
    }
    if (!coverage.reachedMore({ noted: false })) continue;
    // Which of them it was shows when they are read again, the shortest first.
    for (const input of batch.sort((a, b) => a.length - b.length)) {
      await tried(input);
      if (!coverage.reachedMore()) continue;
      reached.push(input);
      known.push(input);
    }
  }
  if (target.keeps !== true && faults.size === 0) {
    const left = await leftBehind(target, reached);
    if (left > LEFT_BYTES_MAX)
      throw new Error(`${name}: reading the kept inputs leaves ${left} bytes behind each time`);
  }
  return {
    inputs,
    faults: [...faults.values()],
    reached: reached.filter((input) => !seeds.some((seed) => seed.equals(input))),
  };
}

/** What reading them once more leaves in memory, everything having been read before. */
async function leftBehind(target: FuzzTarget, inputs: readonly Buffer[]): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const used = () => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = used();
  for (let times = 0; times < 3; times++) for (const input of inputs) await target.check(input);
  return used() - before;
}
