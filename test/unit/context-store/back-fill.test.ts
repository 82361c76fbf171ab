// Asks for more than is missing, from somebody who does not answer, and from somebody who lacks what is asked for. Holders
// are doubles that count what they are asked; where the records end up is a real replica's and a real applier's business.
import { describe, expect, test } from 'vitest';
import type { LogCursor } from '../../../src/context-store/leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../../src/context-store/leveldb/replica.ts';
import type { Applier } from '../../../src/context-store/replication/pull/applier.ts';
import { backFill, type Holder, SkippedRecords } from '../../../src/context-store/replication/pull/back-fill.ts';
import type { ContextId, Incarnation, NodeId } from '../../../src/domain/identifiers.ts';
import { NewerRecord } from '../../../src/domain/record/record-version.ts';
import { KEYGROUP } from '../../../tools/turn-records.ts';

const log = { origin: 'e1' as NodeId, incarnation: 'deadbeef' as Incarnation, keygroup: KEYGROUP };
const hashOf = (sequence: number) => sequence.toString(16).padStart(32, '0') as ContextId;

/** Holds records by sequence; notes which it was asked for. */
class Shelf implements Holder {
  readonly nodeId: NodeId;
  readonly asked: number[] = [];
  readonly #held: readonly number[] | undefined;
  readonly #kept: readonly number[];

  /** Without `held` it does not answer; what is `kept` is listed and not handed out. */
  constructor(nodeId: string, held: readonly number[] | undefined, { kept = [] }: { kept?: readonly number[] } = {}) {
    this.nodeId = nodeId as NodeId;
    this.#held = held;
    this.#kept = kept;
  }

  async list(_: unknown, after: number) {
    if (this.#held === undefined) throw new Error('no answer');
    const entries = this.#held.filter((sequence) => sequence > after);
    return {
      entries: entries.map((sequence) => ({ sequence, hash: hashOf(sequence) })),
      through: Math.max(after, ...entries),
    };
  }

  async fetch(_: unknown, sequences: readonly number[]) {
    this.asked.push(...sequences);
    const given = sequences.filter((sequence) => !this.#kept.includes(sequence));
    return {
      covered: sequences.length,
      records: given.map((sequence) => ({ sequence, bytes: Uint8Array.of(sequence) })),
    };
  }
}

/** Hands out what there is one by one, and says each time that there is more. */
class Endless extends Shelf {
  lists = 0;

  override async list(_: unknown, after: number) {
    this.lists++;
    return { entries: [{ sequence: after + 1, hash: hashOf(after + 1) }], through: after + 1 };
  }
}

/** A node that has these records, and settles nothing by itself. */
function receiver(
  here: readonly number[],
  sequence: number,
  { refused = [], newer = [] }: { refused?: readonly number[]; newer?: readonly number[] } = {},
) {
  const held = new Set(here);
  let cursor: LogCursor = { sequence, streamSequence: sequence };
  const replica = {
    cursor: () => cursor,
    positionOf: (hash: ContextId) => (held.has(Number.parseInt(hash, 16)) ? {} : undefined),
  } as unknown as ReplicaStore;
  const applier = {
    openFrom: async (_: Holder, { bytes }: { bytes: Uint8Array }) => {
      if (newer.includes(bytes[0] as number)) throw new NewerRecord(9);
      return refused.includes(bytes[0] as number) ? undefined : {};
    },
    take: async ({ records, to }: { records: { sequence: number }[]; to: LogCursor }) => {
      for (const record of records) held.add(record.sequence);
      cursor = to;
    },
  } as unknown as Applier;
  return { replica, applier, held, at: () => cursor.sequence };
}

describe('filling from a list', () => {
  test('what is held already is not sent again', async () => {
    const node = receiver([2, 4], 0);
    const holder = new Shelf('e1', [1, 2, 3, 4, 5]);
    await backFill({ log, holder, after: 0, through: 5, isOrigin: true }, node);
    expect(holder.asked).toEqual([1, 3, 5]);
    expect(node.at()).toBe(5);
  });

  test.each([true, false])(
    'nothing is settled beyond a record of a newer version (from its origin: %s)',
    async (isOrigin) => {
      const node = receiver([], 0, { newer: [3] });
      const holder = new Shelf('e1', [1, 2, 3, 4, 5]);
      const filling = backFill({ log, holder, after: 0, through: 5, isOrigin }, node);
      await expect(filling).rejects.toThrow(NewerRecord);
      expect([...node.held]).toEqual([1, 2]);
      expect(node.at()).toBe(2);
    },
  );

  test('nothing beyond what was asked about is sent', async () => {
    const node = receiver([], 0);
    const holder = new Shelf('e1', [1, 2, 3, 4, 5]);
    await backFill({ log, holder, after: 0, through: 3, isOrigin: true }, node);
    expect(holder.asked).toEqual([1, 2, 3]);
  });
});

test('a holder that always knows of one more is not asked for ever', async () => {
  const holder = new Endless('e2', []);
  await backFill({ log, holder, after: 0, through: Number.MAX_SAFE_INTEGER, isOrigin: false }, receiver([], 0));
  expect(holder.lists).toBe(1);
});

describe('what a node that did not write the log lists and does not hand out whole', () => {
  const fill = (node: ReturnType<typeof receiver>, holder: Holder, isOrigin: boolean) =>
    backFill({ log, holder, after: 0, through: 4, isOrigin }, node);

  test('stays open when it is too large for a message there, or gone since', async () => {
    const node = receiver([], 0);
    await fill(node, new Shelf('e2', [1, 2, 3, 4], { kept: [3] }), false);
    expect([...node.held].sort()).toEqual([1, 2, 4]);
    expect(node.at()).toBe(2);
  });

  test('stays open when it is damaged there', async () => {
    const node = receiver([], 0, { refused: [2] });
    await fill(node, new Shelf('e2', [1, 2, 3, 4]), false);
    expect(node.at()).toBe(1);
  });

  test('is passed over when the origin itself says so', async () => {
    const node = receiver([], 0, { refused: [2] });
    await fill(node, new Shelf('e1', [1, 2, 3, 4], { kept: [3] }), true);
    expect(node.at()).toBe(4);
  });
});

describe('a gap in a stream', () => {
  const settle = (origin: Holder, others: readonly Holder[], node: ReturnType<typeof receiver>, sequence: number) =>
    new SkippedRecords(log, { origin, others: () => others }, node).settle(sequence);

  test('is filled from others while the origin does not answer', async () => {
    const node = receiver([1], 1);
    const others = [new Shelf('e2', undefined), new Shelf('e3', [1, 2]), new Shelf('e4', [2, 3, 4])];
    expect(await settle(new Shelf('e1', undefined), others, node, 5)).toBe(true);
    expect([...node.held].sort()).toEqual([1, 2, 3, 4]);
    expect(others.map(({ asked }) => asked)).toEqual([[], [2], [3, 4]]);
  });

  test('stays open while the others lack some of it: they may not have got it yet', async () => {
    const node = receiver([1], 1);
    const settled = settle(new Shelf('e1', undefined), [new Shelf('e2', [2, 4])], node, 5);
    await expect(settled).rejects.toThrow('no answer');
    expect(node.at()).toBe(2);
  });

  test('is asked of the others only then', async () => {
    const node = receiver([1], 1);
    const other = new Shelf('e2', [2, 3, 4]);
    expect(await settle(new Shelf('e1', [4]), [other], node, 5)).toBe(true);
    expect(other.asked).toEqual([]);
    expect(node.at()).toBe(4);
  });
});
