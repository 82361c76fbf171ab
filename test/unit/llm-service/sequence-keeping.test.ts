// Tries to have warming spoil what generations measure and find: how fast states are saved, what sessions begin with, and which
// waits end with whoever waits.
import { beforeEach, expect, test } from 'vitest';
import type { TokenId, TokenSequence } from '../../../src/domain/token-sequence.ts';
import { MeasuredSpeeds } from '../../../src/llm-service/embedded/kept-state/measured-speeds.ts';
import { StateKeeper } from '../../../src/llm-service/embedded/kept-state/state-keeper.ts';
import type { StateShelf } from '../../../src/llm-service/embedded/kept-state/state-shelf.ts';
import type { PooledSequence } from '../../../src/llm-service/embedded/pooled-sequence.ts';
import { SequenceKeeping } from '../../../src/llm-service/embedded/sequence-keeping.ts';
import { WarmAccount } from '../../../src/llm-service/warming/warm-account.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const never = () => new AbortController().signal;
const ids = (length: number, first = 0) => Array.from({ length }, (_, i) => (first + i) as TokenId);
/** A prompt that begins as all do and goes on with its own. */
const prompt = (own: number) => [...ids(100), ...ids(50, 1_000 * own)];

class SequenceDouble {
  held: TokenSequence = [];
  readonly cutsBack = true;
  clearing: Promise<void> = Promise.resolve();

  tokens(): TokenSequence {
    return this.held;
  }

  async clear(): Promise<void> {
    await this.clearing;
    this.held = [];
  }
}

const { clock } = virtualEnvironment();
let puts: string[];
let speeds: MeasuredSpeeds;
let keeper: StateKeeper;
beforeEach(() => {
  puts = [];
  speeds = new MeasuredSpeeds();
  const shelf = {
    find: () => undefined,
    holds: () => false,
    settled: async () => {},
    note: () => {},
    forget: async () => {},
    yieldRoom: async () => {},
    put: async ({ affinity }: { affinity: string }) => puts.push(affinity),
  };
  keeper = new StateKeeper({ shelf: shelf as unknown as StateShelf, speeds, clock });
});

function keepingOf(count: number) {
  const sequences = Array.from({ length: count }, () => new SequenceDouble());
  const pooled = sequences as unknown as PooledSequence[];
  const keeping = new SequenceKeeping(pooled, { keeper, account: new WarmAccount(), sharesOwners: true, clock });
  return { sequences, keeping };
}

test('a state that is not expected back says nothing of how fast it is saved', async () => {
  speeds.evaluate.took(1_000, 10_000);
  speeds.saved(1_000, 1_000, 3_000);
  const sequence = Object.assign(new SequenceDouble(), { held: ids(1_000), saveTo: never, restoreFrom: never });
  const save = (chance: number) =>
    keeper.save(sequence as unknown as PooledSequence, { affinity: 'a', returns: 0, usedAt: 0, chance }).kept;
  const before = speeds.save.msFor(1_000);
  for (let n = 0; n < 20; n++) expect(await save(0.1)).toBe(false);
  expect(speeds.save.msFor(1_000)).toBe(before);
  expect(await save(1)).toBe(true);
  // What is too slow whatever comes is tried again after a while.
  speeds.saved(1_000, 1_000, 1_000_000);
  for (let n = 0; n < 200 && !(await save(1)); n++);
  expect(puts).toEqual(['a', 'a']);
});

test('what sessions begin with is kept where it is evaluated first, for a turn or ahead of one', async () => {
  const { sequences, keeping } = keepingOf(1);
  const turn = async (affinity: string, own: number) => {
    const lease = await keeping.acquire({ prompt: prompt(own), affinity }, never());
    const { keepAt } = await keeping.prepare(lease, { affinity, owner: undefined, prompt: prompt(own) });
    lease.release();
    return keepAt?.tokens;
  };
  expect(await turn('a', 1)).toBeUndefined();
  const request = { prompt: prompt(2), affinity: 'b', owner: undefined, chance: 1 };
  const lease = await keeping.acquireToWarm(request, never());
  if (typeof lease !== 'object') throw new Error('no sequence');
  expect((await keeping.prepare(lease, request, { isReturn: false })).keepAt?.tokens).toBe(100);
  lease.release();
  // It stood aside before it had come so far, and what was done has had to go.
  for (const sequence of sequences) sequence.held = [];
  expect(await turn('b', 2)).toBe(100);
  for (const sequence of sequences) sequence.held = [];
  const again = await keeping.acquireToWarm(request, never());
  if (typeof again !== 'object') throw new Error('no sequence');
  const { keepAt } = await keeping.prepare(again, request, { isReturn: false });
  for (const sequence of sequences) sequence.held = ids(100);
  await keepAt?.keep();
  again.release();
  expect(puts).toHaveLength(1);
  for (const sequence of sequences) sequence.held = [];
  expect(await turn('b', 2)).toBeUndefined();
});

test('a generation that is aborted does not wait for what is done with sequences', async () => {
  const { sequences, keeping } = keepingOf(1);
  const lease = await keeping.acquire({ prompt: prompt(1), affinity: 'a' }, never());
  for (const sequence of sequences) Object.assign(sequence, { held: prompt(1), clearing: new Promise(() => {}) });
  lease.release();
  keeping.forget('a');
  const abort = new AbortController();
  const acquiring = keeping.acquire({ prompt: prompt(2), affinity: 'b' }, abort.signal);
  abort.abort(new Error('timed out'));
  await expect(acquiring).rejects.toThrow('timed out');
});

test('a session that is gone before there is a sequence to warm it in pushes out nothing', async () => {
  const { sequences, keeping } = keepingOf(1);
  const lease = await keeping.acquire({ prompt: prompt(1), affinity: 'a' }, never());
  for (const sequence of sequences) sequence.held = prompt(1);
  keeping.giveBack(lease);
  const stop = new AbortController();
  const request = { prompt: ids(1_000, 5_000), affinity: 'b', owner: undefined, chance: 1 };
  const acquiring = keeping.acquireToWarm(request, stop.signal);
  stop.abort();
  expect(await acquiring).toBeUndefined();
  const own = await keeping.acquire({ prompt: prompt(1), affinity: 'a' }, never());
  expect(own.found?.affinity).toBe('a');
});
