// Gaps that peers hold in parts, that nobody holds, whose holders are away, hang, list what they do not hand out, or hand out what
// they do not list; and a store that has no room. Peers are doubles over their own shelf; the replica is real.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { LogCursor } from '../../../src/context-store/leveldb/log/origin-log.ts';
import { openReplica, type ReplicaStore } from '../../../src/context-store/leveldb/replica.ts';
import { Applier } from '../../../src/context-store/replication/pull/applier.ts';
import type { Holder } from '../../../src/context-store/replication/pull/back-fill.ts';
import { GapFills } from '../../../src/context-store/replication/pull/gap-fills.ts';
import type { Incarnation, NodeId } from '../../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../../src/domain/record/record-codec.ts';
import { KEYGROUP, sealedTombstone, sealedTurn, sessionKey } from '../../../tools/turn-records.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';

const LOG = { origin: 'node-1' as NodeId, incarnation: '0badcafe' as Incarnation, keygroup: KEYGROUP };
const RECORDS = Array.from({ length: 12 }, (_, n) => sealedTurn({ key: sessionKey(`s${n + 1}`) }));
const recordAt = (sequence: number) => RECORDS[sequence - 1] as SealedRecord;

/** Holds these records of the log; what it hands out can be changed. */
class Shelf implements Holder {
  readonly nodeId: NodeId;
  readonly lists: number[] = [];
  readonly asked: number[] = [];
  isSilent = false;
  readonly #held: readonly number[];
  handOut = (sequence: number): SealedRecord | undefined => recordAt(sequence);

  constructor(nodeId: string, held: readonly number[]) {
    this.nodeId = nodeId as NodeId;
    this.#held = held;
  }

  async list(_: unknown, after: number) {
    this.lists.push(after);
    if (this.isSilent) throw new Error('no answer');
    const entries = this.#held
      .filter((sequence) => sequence > after)
      .map((sequence) => ({ sequence, hash: recordAt(sequence).hash }));
    return { entries, through: Math.max(after, ...entries.map(({ sequence }) => sequence)) };
  }

  async fetch(_: unknown, sequences: readonly number[]) {
    this.asked.push(...sequences);
    const records = sequences.flatMap((sequence) => {
      const bytes = this.handOut(sequence)?.bytes;
      return bytes === undefined ? [] : [{ sequence, bytes }];
    });
    return { covered: sequences.length, records };
  }
}

let folder: string;
let environment: VirtualEnvironment;
let replica: ReplicaStore;
let applier: Applier;
let connected: Holder[];
let known: NodeId[];
let fills: GapFills;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-gaps-'));
  environment = virtualEnvironment();
  connected = [];
  known = [];
  await open();
});
afterEach(async () => {
  await close();
  await rm(folder, { recursive: true });
});

async function open(bytesMax = 1_000_000_000): Promise<void> {
  const { clock, logger } = environment;
  replica = await openReplica({ folder, nodeId: 'here' as NodeId, bytesMax }, environment);
  applier = new Applier({ replica, logger });
  fills = new GapFills({ replica, applier, holders: () => connected, mayHold: () => known, clock, logger });
  fills.start();
}

async function close(): Promise<void> {
  await fills.close();
  await replica.close();
}

/** The log's origin brings these, and says that the rest through `through` is gone. */
async function settle(through: number, sequences: readonly number[] = []): Promise<void> {
  const from = replica.cursor(LOG);
  const to: LogCursor = { sequence: through, streamSequence: through };
  const records = sequences.map((sequence) => ({ sequence, sealed: recordAt(sequence) }));
  await applier.take({ log: LOG, records, from, to });
}

function connect(...shelves: Holder[]): void {
  connected = shelves;
  known = [...new Set([...known, ...shelves.map(({ nodeId }) => nodeId)])];
  fills.look();
}

const here = async () => (await replica.readLog(LOG, { after: 0, limit: 100 })).map(({ sequence }) => sequence);

/** Lets virtual time pass until it is so. */
const eventually = (check: () => void | Promise<void>) =>
  vi.waitFor(
    async () => {
      await environment.advance(1_000);
      await check();
    },
    { timeout: 30_000 },
  );
const settled = () => eventually(() => expect(applier.gaps.logs).toEqual([]));

describe('a gap', () => {
  test('is filled from whoever holds a part of it, each record once; the cursor stays', async () => {
    const shelves = [new Shelf('a', [1, 2, 3, 4]), new Shelf('b', [3, 4, 5, 6, 9])];
    connect(...shelves);
    await settle(8, [1, 7]);
    await settled();
    expect(await here()).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(shelves.map(({ asked }) => asked)).toEqual([
      [2, 3, 4],
      [5, 6],
    ]);
    expect(replica.cursor(LOG).sequence).toBe(8);
  });

  test('that nobody holds is asked for once at each, and never at its origin', async () => {
    const [origin, a, b] = [new Shelf('node-1', [2]), new Shelf('a', []), new Shelf('b', [9])];
    connect(origin, a, b);
    await settle(5, [1]);
    await settled();
    fills.look();
    await environment.advance(1_000_000);
    expect([origin.lists, a.lists, b.lists]).toEqual([[], [1], [1]]);
    expect(await here()).toEqual([1]);
  });

  test('is none where all came', async () => {
    const a = new Shelf('a', [1, 2, 3]);
    connect(a);
    await settle(3, [1, 2, 3]);
    await environment.advance(10_000);
    expect(a.lists).toEqual([]);
  });
});

describe('a holder', () => {
  test('that is away is asked when it is back, also after a start', async () => {
    known = ['b' as NodeId];
    connect(new Shelf('a', []));
    await settle(3, [1]);
    await environment.advance(10_000);
    await close();
    await open();
    expect(applier.gaps.logs).toEqual([LOG]);
    const b = new Shelf('b', [2, 3]);
    connect(b);
    await settled();
    expect(await here()).toEqual([1, 2, 3]);
  });

  test('that is away is asked after a start, however soon after the gap it was', async () => {
    known = ['b' as NodeId];
    await settle(3, [1]);
    await close();
    await open();
    connect(new Shelf('b', [2, 3]));
    await settled();
    expect(await here()).toEqual([1, 2, 3]);
  });

  test('that does not answer is asked again, and keeps nothing that others hold', async () => {
    const silent = new Shelf('a', [2, 3]);
    silent.isSilent = true;
    connect(silent, new Shelf('b', [2]));
    await settle(3, [1]);
    await eventually(async () => expect(await here()).toEqual([1, 2]));
    silent.isSilent = false;
    await settled();
    expect(await here()).toEqual([1, 2, 3]);
    expect(silent.asked).toEqual([3]);
  });

  test('that hangs does not keep the node from stopping', async () => {
    const list = vi.fn(() => new Promise<never>(() => {}));
    connect({ nodeId: 'a' as NodeId, list, fetch: list });
    await settle(3);
    await eventually(() => expect(list).toHaveBeenCalled());
  });

  test('that lists what it does not hand out is done with', async () => {
    const a = new Shelf('a', [1, 2, 3]);
    a.handOut = () => undefined;
    connect(a, new Shelf('b', [2]));
    await settle(3);
    await settled();
    expect(a.asked).toEqual([1, 2, 3]);
    expect(await here()).toEqual([2]);
    expect(environment.logLines.map(({ event }) => event)).toContain('gap_not_filled');
  });

  test('that hands out another record than it lists is refused', async () => {
    const a = new Shelf('a', [1, 2, 3]);
    a.handOut = (sequence) => recordAt(sequence === 2 ? 12 : sequence);
    connect(a);
    await settle(3);
    await settled();
    expect(await here()).toEqual([1, 3]);
    expect(applier.refusedBy('a' as NodeId)).toEqual({ unknown_sequence: 1 });
  });
});

test('a turn of a deleted session does not come back', async () => {
  await replica.append(sealedTombstone({ key: sessionKey('s2') }));
  connect(new Shelf('a', [1, 2, 3]));
  await settle(3);
  await settled();
  expect(await here()).toEqual([1, 3]);
  expect(await replica.read(sessionKey('s2'))).toMatchObject({ deleted: true });
});

test('a store that has evicted asks for nothing, and what it has evicted does not come back', async () => {
  await close();
  await open(recordAt(1).bytes.length * 3.5);
  for (let sequence = 1; sequence <= 5; sequence++) await settle(sequence, [sequence]);
  expect((await replica.status()).evictedSessions).toBeGreaterThan(0);
  const before = await here();
  const a = new Shelf('a', [1, 2, 3, 4, 5, 6, 7]);
  connect(a);
  await settle(8, [8]);
  await settled();
  expect(a.lists).toEqual([]);
  expect(await here()).not.toContain(1);
  expect((await here()).filter((sequence) => sequence < 8 && !before.includes(sequence))).toEqual([]);
});

test('what a store that has evicted does not ask for it tells that it has not', async () => {
  await close();
  await open(recordAt(1).bytes.length * 3.5);
  for (let sequence = 1; sequence <= 5; sequence++) await settle(sequence, [sequence]);
  connect(new Shelf('a', [6, 7]));
  await settle(8, [8]);
  await settled();
  expect(replica.evictedThrough(LOG)).toBe(7);
});

test('what fills a gap goes first when there is no room for it', async () => {
  await close();
  await open(recordAt(1).bytes.length * 6);
  await settle(5, [4, 5]);
  await environment.advance(1);
  connect(new Shelf('a', [1, 2, 3]));
  await settled();
  expect(await here()).toEqual([1, 2, 3, 4, 5]);
  await replica.append(sealedTurn({ key: sessionKey('new') }));
  await replica.append(sealedTurn({ key: sessionKey('newer') }));
  expect(await here()).toEqual(expect.arrayContaining([4, 5]));
  expect((await here()).length).toBeLessThan(5);
});
