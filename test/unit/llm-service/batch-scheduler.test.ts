// Tries to have two replies miss each other for ever, sequences in a batch out of order, prompts that keep replies waiting or the
// other way round, a batch larger than llama.cpp takes, a request that is never answered, and batches that are slower than need be.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BatchScheduler } from '../../../src/llm-service/embedded/decoding/batch-scheduler.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const BATCH_TOKENS = 64;

interface Piece {
  readonly sequenceId: number;
  readonly count: number;
}

/** What each batch takes, in ms. */
type Cost = (batch: readonly Piece[]) => number;

/** Collects what it is given in one go, as node-llama-cpp does, and answers it together after what it costs. */
class Engine {
  readonly batches: Piece[][] = [];
  readonly scheduler: BatchScheduler;
  readonly #environment = virtualEnvironment();
  readonly #cost: Cost;
  #given: Array<Piece & { readonly answer: (error?: Error) => void }> = [];
  #isComputing = false;

  constructor(cost: Cost = () => 1) {
    this.#cost = cost;
    this.scheduler = new BatchScheduler({ batchTokens: BATCH_TOKENS, clock: this.#environment.clock });
  }

  get elapsedMs(): number {
    return this.#environment.clock.monotonic();
  }

  evaluate(sequenceId: number, count: number, error?: Error): Promise<void> {
    const tokens = Array.from({ length: count });
    return this.scheduler.add({ sequenceId, tokens }, () => this.#give({ sequenceId, count }, error));
  }

  /** A reply of so many ids, each asked for when the one before is there. */
  async reply(sequenceId: number, ids: number): Promise<void> {
    for (let id = 0; id < ids; id++) await this.evaluate(sequenceId, 1);
  }

  #give(piece: Piece, error: Error | undefined): Promise<void> {
    if (this.#given.length === 0) setImmediate(() => void this.#compute());
    return new Promise((resolve, reject) => {
      const answer = () => (error === undefined ? resolve() : reject(error));
      this.#given.push({ ...piece, answer });
    });
  }

  async #compute(): Promise<void> {
    expect(this.#isComputing, 'a batch begins while one is computed').toBe(false);
    this.#isComputing = true;
    const batch = this.#given.splice(0);
    this.batches.push(batch.map(({ sequenceId, count }) => ({ sequenceId, count })));
    await this.#environment.advance(this.#cost(batch));
    this.#isComputing = false;
    for (const { answer } of batch) answer();
  }
}

const sequencesOf = (batch: readonly Piece[]) => batch.map(({ sequenceId }) => sequenceId);

test('replies that began apart come together, in the order of their sequences', async () => {
  const engine = new Engine();
  const third = engine.reply(2, 100);
  await engine.evaluate(0, 5);
  await Promise.all([third, engine.reply(0, 95), engine.reply(1, 95)]);
  const together = engine.batches.filter((batch) => batch.length === 3);
  expect(together.length).toBeGreaterThan(80);
  for (const batch of together) expect(sequencesOf(batch)).toEqual([0, 1, 2]);
});

test.each([
  { allMs: 95, oneMs: 40, alone: true },
  { allMs: 75, oneMs: 40, alone: false },
])('two replies, $allMs ms together and $oneMs alone', async ({ allMs, oneMs, alone }) => {
  const engine = new Engine((batch) => (batch.length === 1 ? oneMs : allMs));
  await Promise.all([engine.reply(0, 200), engine.reply(1, 200)]);
  const ones = engine.batches.filter((batch) => batch.length === 1);
  const floorMs = 200 * Math.min(allMs, 2 * oneMs);
  expect(engine.elapsedMs).toBeLessThan(floorMs * 1.03);
  expect(ones.length > 200).toBe(alone);
  // One by one they take turns, but where a batch of both was tried in between.
  const turns = ones.map(([piece]) => piece?.sequenceId);
  const again = turns.filter((turn, i) => i > 0 && turn === turns[i - 1]).length;
  if (alone) expect(again).toBeLessThan(ones.length / 16);
});

test.each([
  { what: 'the first batch', at: 0, ms: 500 },
  { what: 'the first one alone', at: 1, ms: 500 },
  { what: 'one in between', at: 50, ms: 1500 },
])('$what that takes long decides nothing for long', async ({ at, ms }) => {
  for (const [allMs, oneMs] of [
    [75, 40],
    [95, 40],
    [11, 10],
  ] as const) {
    let made = 0;
    const engine = new Engine((batch) => (made++ === at ? ms : batch.length === 1 ? oneMs : allMs));
    await Promise.all([engine.reply(0, 300), engine.reply(1, 300)]);
    expect(engine.elapsedMs - ms).toBeLessThan(300 * Math.min(allMs, 2 * oneMs) * 1.05);
  }
});

test('what fails tells nothing of speed', async () => {
  let failing = true;
  const engine = new Engine((batch) => (batch.length === 1 ? 40 : failing ? 1000 : 45));
  const fails = (sequenceId: number) => engine.evaluate(sequenceId, 1, new Error('no')).catch(() => {});
  for (let i = 0; i < 10; i++) await Promise.all([fails(0), fails(1)]);
  failing = false;
  const startedMs = engine.elapsedMs;
  await Promise.all([engine.reply(0, 100), engine.reply(1, 100)]);
  expect(engine.elapsedMs - startedMs).toBeLessThan(100 * 45 * 1.1);
});

test('what is faster is found again once it changes', async () => {
  let togetherMs = 95;
  const engine = new Engine((batch) => (batch.length === 1 ? 40 : togetherMs));
  await Promise.all([engine.reply(0, 200), engine.reply(1, 200)]);
  togetherMs = 45;
  await Promise.all([engine.reply(0, 1000), engine.reply(1, 1000)]);
  const startedMs = engine.elapsedMs;
  await Promise.all([engine.reply(0, 100), engine.reply(1, 100)]);
  expect(engine.elapsedMs - startedMs).toBeLessThan(100 * 45 * 1.1);
  expect(engine.batches.slice(-100).filter(({ length }) => length === 2).length).toBeGreaterThan(80);
});

test('a piece of a prompt and the next ids of replies are evaluated in turn', async () => {
  const engine = new Engine();
  const replies = Promise.all([engine.reply(0, 20), engine.reply(1, 20)]);
  for (let piece = 0; piece < 6; piece++) await engine.evaluate(2, BATCH_TOKENS);
  const prompts = engine.batches.flatMap((batch, at) => (batch.some(({ count }) => count > 1) ? [at] : []));
  expect(prompts).toHaveLength(6);
  for (const at of prompts) expect(sequencesOf(engine.batches[at] as Piece[])).toEqual([2]);
  for (const [i, at] of prompts.entries()) if (i > 0) expect(at - (prompts[i - 1] as number)).toBe(2);
  await replies;
});

test('each reply goes on after each piece of a prompt, also where one alone is faster', async () => {
  const engine = new Engine((batch) => (batch.length === 1 ? batch[0]?.count : 100 * batch.length) as number);
  const replies = Promise.all([0, 1, 2].map((sequenceId) => engine.reply(sequenceId, 200)));
  while (engine.batches.length < 100) await new Promise(setImmediate);
  for (let piece = 0; piece < 6; piece++) await engine.evaluate(3, BATCH_TOKENS);
  const { batches } = engine;
  const prompts = batches.flatMap((batch, at) => (batch[0]?.count === BATCH_TOKENS ? [at] : []));
  for (const at of prompts.slice(0, -1)) expect(sequencesOf(batches[at + 1] as Piece[])).toEqual([0, 1, 2]);
  expect(prompts).toHaveLength(6);
  await replies;
});

test('one that fails is told so, and the others go on', async () => {
  const engine = new Engine();
  const thrown = () => {
    throw new TypeError('thrown');
  };
  await expect(engine.scheduler.add({ sequenceId: 0, tokens: [1] }, thrown)).rejects.toThrow('thrown');
  const failing = engine.evaluate(1, 1, new Error('no'));
  const others = Promise.all([engine.reply(0, 5), engine.reply(2, 5)]);
  await expect(failing).rejects.toThrow('no');
  await others;
  await engine.reply(1, 1);
});

test('whoever comes whenever is answered, once, in batches that llama.cpp takes', async () => {
  const piece = fc.oneof(fc.constant(1), fc.integer({ min: 2, max: BATCH_TOKENS }));
  const sequence = fc.record({
    pieces: fc.array(piece, { maxLength: 20 }),
    waits: fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 5 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(sequence, { minLength: 1, maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 9 }),
      async (sequences, costs) => {
        let batchAt = 0;
        const engine = new Engine(() => costs[batchAt++ % costs.length] as number);
        const waitedBatches: number[] = [];
        const repliesWaited: number[] = [];
        await Promise.all(
          sequences.map(async ({ pieces, waits }, sequenceId) => {
            for (const [i, count] of pieces.entries()) {
              for (let turn = waits[i % waits.length] as number; turn > 0; turn--) await new Promise(setImmediate);
              const before = engine.batches.length;
              await engine.evaluate(sequenceId, count);
              (count === 1 ? repliesWaited : waitedBatches).push(engine.batches.length - before);
            }
          }),
        );
        const evaluated = sequences.map(() => [] as number[]);
        for (const batch of engine.batches) {
          const numbers = sequencesOf(batch);
          expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
          expect(batch.reduce((sum, { count }) => sum + count, 0)).toBeLessThanOrEqual(BATCH_TOKENS);
          expect(new Set(batch.map(({ count }) => count === 1)).size).toBe(1);
          for (const { sequenceId, count } of batch) evaluated[sequenceId]?.push(count);
        }
        expect(evaluated).toEqual(sequences.map(({ pieces }) => pieces));
        // Behind one batch that is under way: a piece after every other's once and as many batches of replies, the next id of a
        // reply after every other's alone, one batch of prompts, and its own.
        expect(Math.max(0, ...waitedBatches)).toBeLessThanOrEqual(2 * sequences.length + 2);
        expect(Math.max(0, ...repliesWaited)).toBeLessThanOrEqual(sequences.length + 3);
      },
    ),
    { numRuns: 300 },
  );
});
