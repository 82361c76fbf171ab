// The receiver's rules as a state machine, against a modelled origin and stream: the stream is wiped and made again without
// what was deleted by then, loses messages, repeats them, and the receiver loses its connection anywhere. Whatever the
// order, a receiver that stays connected long enough must end with every record that its origin still has.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LogCursor } from '../../../src/context-store/leveldb/log/origin-log.ts';
import {
  afterBackFill,
  afterDelivery,
  isBehind,
  pullStep,
  StallWatch,
  settledThrough,
} from '../../../src/context-store/replication/pull/pull-position.ts';

const RUNS = Number(process.env.PULL_HISTORY_RUNS ?? 2_000);

class Origin {
  last = 0;
  readonly held = new Set<number>();
  /** Sequences in the order in which the stream has them; its own positions begin at `first`. */
  stream: { position: number; sequence: number }[] = [];
  position = 0;
  published = 0;

  write(): void {
    this.held.add(++this.last);
  }

  delete(sequence: number): void {
    this.held.delete(sequence);
  }

  /** As the publisher does it: in order, after the last message. */
  publish(limit: number): void {
    for (let left = limit; this.published < this.last && left > 0; left--) {
      this.published++;
      if (this.held.has(this.published)) this.stream.push({ position: ++this.position, sequence: this.published });
    }
  }

  /** A refused publish whose successor was stored. */
  skip(): void {
    if (this.published < this.last) this.published++;
  }

  repeat(): void {
    const message = this.stream.at(-1);
    if (message !== undefined) this.stream.push({ ...message, position: ++this.position });
  }

  wipe(): void {
    this.stream = [];
    this.position = 0;
    this.published = 0;
  }

  trim(count: number): void {
    this.stream = this.stream.slice(count);
  }

  list(after: number): number[] {
    return [...this.held].filter((sequence) => sequence > after).sort((a, b) => a - b);
  }
}

class Receiver {
  cursor: LogCursor = { sequence: 0, streamSequence: 0 };
  readonly taken = new Set<number>();
  /** Where the consumer is; `undefined` while not connected. */
  #position: number | undefined;
  readonly #origin: Origin;

  constructor(origin: Origin) {
    this.#origin = origin;
  }

  connect(): void {
    const next = this.cursor.streamSequence + 1;
    const pending = this.#origin.stream.filter(({ position }) => position >= next).length;
    this.#position = next - 1;
    if (pending > 0) return;
    this.#position = this.#origin.position;
    this.#backFill(this.#origin.last);
  }

  disconnect(): void {
    this.#position = undefined;
  }

  deliver(limit: number): void {
    if (this.#position === undefined) return;
    for (let left = limit; left > 0; left--) {
      const message = this.#origin.stream.find(({ position }) => position > (this.#position as number));
      if (message === undefined) return;
      this.#position = message.position;
      const delivered = { sequence: message.sequence, streamSequence: message.position };
      if (pullStep(this.cursor, delivered) === 'skipped') this.#backFill(message.sequence - 1);
      if (pullStep(this.cursor, delivered) === 'next') this.taken.add(message.sequence);
      expect(pullStep(this.cursor, delivered)).not.toBe('skipped');
      this.cursor = afterDelivery(this.cursor, delivered);
    }
  }

  greet(): void {
    if (this.#position === undefined) return;
    const pending = this.#origin.stream.filter(({ position }) => position > (this.#position as number)).length;
    if (isBehind(this.cursor, { pending, last: this.#origin.last })) this.#backFill(this.#origin.last);
  }

  #backFill(through: number): void {
    const held = this.#origin.list(this.cursor.sequence).filter((sequence) => sequence <= through);
    for (const sequence of held) this.taken.add(sequence);
    this.cursor = afterBackFill(this.cursor, settledThrough(this.cursor, { held, through, isOrigin: true }));
  }
}

const small = fc.integer({ min: 1, max: 8 });
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('write' as const), count: small }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('publish' as const), count: small }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('deliver' as const), count: small }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), count: fc.integer({ min: 1, max: 60 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('trim' as const), count: small }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('connect', 'disconnect', 'wipe', 'skip', 'repeat', 'greet'),
      count: fc.constant(1),
    }),
  },
);

test(`${RUNS} random histories of stream and connection end with everything that the origin has`, () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 120, size: 'max' }), (steps) => {
      const origin = new Origin();
      const receiver = new Receiver(origin);
      for (const { kind, count } of steps) {
        if (kind === 'write') for (let i = 0; i < count; i++) origin.write();
        else if (kind === 'publish') origin.publish(count);
        else if (kind === 'deliver') receiver.deliver(count);
        else if (kind === 'delete') origin.delete(count);
        else if (kind === 'trim') origin.trim(count);
        else if (kind === 'wipe') {
          // The consumer goes with its stream; the receiver notices and begins again.
          origin.wipe();
          receiver.disconnect();
        } else if (kind === 'skip') origin.skip();
        else if (kind === 'repeat') origin.repeat();
        else if (kind === 'connect') receiver.connect();
        else if (kind === 'greet') receiver.greet();
        else receiver.disconnect();
      }
      receiver.connect();
      // Nobody greets any more: the stream alone must bring what is written from here on, and show what was missed.
      origin.write();
      origin.publish(Number.POSITIVE_INFINITY);
      receiver.deliver(Number.POSITIVE_INFINITY);
      for (const sequence of origin.held) expect(receiver.taken).toContain(sequence);
      expect(receiver.cursor.sequence).toBe(origin.last);
    }),
    { numRuns: RUNS, ...(process.env.FC_SEED === undefined ? {} : { seed: Number(process.env.FC_SEED) }) },
  );
});

test('what another holder lacks stays open; what the origin lacks is gone', () => {
  const cursor = { sequence: 2, streamSequence: 9 };
  const held = [3, 4, 6, 7];
  expect(settledThrough(cursor, { held, through: 7, isOrigin: false })).toBe(4);
  expect(settledThrough(cursor, { held, through: 3, isOrigin: false })).toBe(3);
  expect(settledThrough(cursor, { held: [9], through: 9, isOrigin: false })).toBe(2);
  expect(settledThrough(cursor, { held, through: 7, isOrigin: true })).toBe(7);
  expect(settledThrough(cursor, { held: [], through: 1, isOrigin: true })).toBe(2);
});

test('a cursor stands still when it does not move between two beacons that are ahead of it', () => {
  const at = (sequence: number) => ({ sequence, streamSequence: sequence });
  const watch = new StallWatch();
  expect(watch.isStalled(at(5), 5)).toBe(false);
  // Behind once may be a record that is on its way.
  expect(watch.isStalled(at(5), 6)).toBe(false);
  expect(watch.isStalled(at(6), 8)).toBe(false);
  expect(watch.isStalled(at(6), 9)).toBe(true);
  // What was done about it gets as long.
  expect(watch.isStalled(at(6), 9)).toBe(false);
  expect(watch.isStalled(at(6), 9)).toBe(true);
});
