// Peers that hold a session in parts, hang, cut their answers short, list what they do not hand out, hand out what nobody asked
// for, or never come to an end. Peers are doubles over their own shelf of records; the replica they are fetched into is real.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openReplica, type ReplicaStore } from '../../../src/context-store/leveldb/replica.ts';
import { LIST_ENTRIES_MAX } from '../../../src/context-store/replication/peers/log-answers.ts';
import type { SessionPage } from '../../../src/context-store/replication/peers/session-page.ts';
import { Applier } from '../../../src/context-store/replication/pull/applier.ts';
import { SessionFetches, type SessionHolder } from '../../../src/context-store/replication/pull/session-fetches.ts';
import type { ContextId, NodeId, SessionKey } from '../../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../../src/domain/record/record-codec.ts';
import { sealedLine, sealedTombstone, sealedTurn, sessionKey } from '../../../tools/turn-records.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';

const LOG = { origin: 'node-1' as NodeId, incarnation: '0badcafe' as never };
const turnOf = ({ record }: SealedRecord) => (record.kind === 'turn' ? record.turn : 0);
const hashes = (records: readonly SealedRecord[] = []) => records.map(({ hash }) => hash);

/** Holds records, all of one log, numbered as they are given. */
class Shelf implements SessionHolder {
  readonly nodeId: NodeId;
  readonly asked: number[] = [];
  pageEntries = LIST_ENTRIES_MAX;
  recordsInAnswer = Number.POSITIVE_INFINITY;
  lists = 0;
  readonly #numbered: ReadonlyMap<number, SealedRecord>;

  constructor(nodeId: string, numbered: Readonly<Record<number, SealedRecord>>) {
    this.nodeId = nodeId as NodeId;
    this.#numbered = new Map(Object.entries(numbered).map(([sequence, sealed]) => [Number(sequence), sealed]));
  }

  async list() {
    return { entries: [], through: 0 };
  }

  async session({ keygroup }: SessionKey, fromTurn: number): Promise<SessionPage> {
    this.lists++;
    const all = [...this.#numbered]
      .map(([sequence, sealed]) => ({ log: { ...LOG, keygroup }, sequence, turn: turnOf(sealed), hash: sealed.hash }))
      .filter(({ turn }) => turn >= fromTurn)
      .sort((a, b) => a.turn - b.turn);
    return { entries: all.slice(0, this.pageEntries), more: all.length > this.pageEntries };
  }

  async fetch(_: unknown, sequences: readonly number[]) {
    const answered = sequences.slice(0, this.recordsInAnswer);
    this.asked.push(...answered);
    const records = answered.map((sequence) => ({
      sequence,
      bytes: this.#numbered.get(sequence)?.bytes as Uint8Array,
    }));
    return { covered: answered.length, records };
  }
}

const hanging = (nodeId: string): SessionHolder => ({
  nodeId: nodeId as NodeId,
  list: () => new Promise(() => {}),
  fetch: () => new Promise(() => {}),
  session: () => new Promise(() => {}),
});

let folder: string;
let environment: VirtualEnvironment;
let replica: ReplicaStore;
let applier: Applier;
let holders: SessionHolder[];
let fetches: SessionFetches;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-fetch-'));
  environment = virtualEnvironment();
  replica = await openReplica({ folder, nodeId: 'here' as NodeId, bytesMax: 1_000_000_000 }, environment);
  const { clock, logger } = environment;
  applier = new Applier({ replica, logger });
  holders = [];
  fetches = new SessionFetches({ replica, applier, holders: () => holders, clock, logger });
});
afterEach(async () => {
  await replica.close();
  await rm(folder, { recursive: true });
});

const fetch = (key = sessionKey(), waitMs = 1000, signal = new AbortController().signal) =>
  fetches.fetch(key, { waitMs, signal });
const held = async (key = sessionKey()) => hashes((await replica.read(key))?.records);
const line = sealedLine(6);
const numbered = (...sequences: number[]) =>
  Object.fromEntries(sequences.map((sequence) => [sequence, line[sequence - 1] as SealedRecord]));

describe('a session', () => {
  test('is made whole from peers that hold a part each, and each record comes once', async () => {
    const shelves = [new Shelf('a', numbered(1, 2, 3, 4)), new Shelf('b', numbered(3, 4, 5, 6))];
    holders = shelves;
    expect(await fetch()).toBe(6);
    expect(await held()).toEqual(hashes(line));
    expect(shelves.flatMap(({ asked }) => asked).toSorted()).toEqual([1, 2, 3, 4, 5, 6]);
    expect(replica.cursor({ ...LOG, keygroup: sessionKey().keygroup }).sequence).toBe(0);
    expect(await fetch()).toBe(0);
  });

  test('comes in pages and pieces, its earliest missing turn last', async () => {
    const shelf = new Shelf('a', numbered(1, 2, 3, 4, 5, 6));
    shelf.recordsInAnswer = 1;
    holders = [shelf];
    await fetch();
    expect(shelf.asked).toEqual([2, 3, 4, 5, 6, 1]);
    expect(await held()).toEqual(hashes(line));
  });

  test('of more turns than one list holds comes whole', async () => {
    const shelf = new Shelf('a', numbered(1, 2, 3, 4, 5, 6));
    shelf.pageEntries = 2;
    holders = [shelf];
    await fetch();
    expect(await held()).toEqual(hashes(line));
  });

  test('that was deleted comes as deleted, without its turns', async () => {
    const shelf = new Shelf('a', { ...numbered(1, 2), 3: sealedTombstone() });
    holders = [shelf];
    await fetch();
    expect(await replica.read(sessionKey())).toMatchObject({ deleted: true });
    expect(shelf.asked).toEqual([3]);
  });

  test('is fetched once for all who ask at the same time', async () => {
    const shelf = new Shelf('a', numbered(1));
    holders = [shelf];
    expect(await Promise.all([fetch(), fetch(), fetch()])).toEqual([1, 1, 1]);
    expect(shelf.lists).toBe(1);
  });
});

describe('a peer', () => {
  test('that hangs keeps neither what others hold nor who waits', async () => {
    holders = [hanging('a'), new Shelf('b', numbered(1, 2))];
    const fetched = fetch();
    await expect.poll(() => held()).toEqual(hashes(line.slice(0, 2)));
    await environment.advance(1000);
    expect(await fetched).toBe(0);
    // Given up after a while, or nobody could ask for the session again.
    await environment.advance(9_000);
    holders = [new Shelf('b', numbered(1, 2, 3))];
    expect(await fetch()).toBe(1);
  });

  test('that hands out nothing of what it lists is left alone, and said', async () => {
    const shelf = new Shelf('a', numbered(1, 2));
    shelf.recordsInAnswer = 0;
    holders = [shelf];
    expect(await fetch()).toBe(0);
    expect(environment.logLines.map(({ event }) => event)).toEqual(['session_fetch_failed']);
  });

  test('that hands out another session is refused that', async () => {
    const other = sealedTurn({ key: sessionKey('another') });
    holders = [new Shelf('a', { 1: other })];
    expect(await fetch()).toBe(0);
    expect(await replica.read(sessionKey('another'))).toBeUndefined();
    expect(applier.refusedBy('a' as NodeId)).toEqual({ unknown_sequence: 1 });
  });

  test('that says for ever that there is more is asked until it says nothing new', async () => {
    const shelf = new Shelf('a', numbered(1));
    shelf.session = async ({ keygroup }) => {
      shelf.lists++;
      const { hash } = line[0] as { hash: ContextId };
      return { entries: [{ log: { ...LOG, keygroup }, sequence: 1, turn: 1, hash }], more: true };
    };
    holders = [shelf];
    await fetch();
    expect(shelf.lists).toBe(2);
  });

  test('that hands out very much is stopped, and the next fetch goes on from there', async () => {
    const shelf = new Shelf('a', numbered(1, 2, 3, 4, 5, 6));
    shelf.recordsInAnswer = 1;
    const bytesMax = (line[1] as SealedRecord).bytes.length + 1;
    const { clock, logger } = environment;
    fetches = new SessionFetches({ replica, applier, holders: () => [shelf], clock, logger, bytesMax });
    expect([await fetch(), await fetch(), await fetch(), await fetch()]).toEqual([2, 2, 2, 0]);
    expect(await held()).toEqual(hashes(line));
  });
});

test('a number of the own log that was not given out yet stays free', async () => {
  const shelf = new Shelf('a', {});
  shelf.session = async ({ keygroup }) => {
    const log = { origin: replica.nodeId, incarnation: replica.incarnation, keygroup };
    return { entries: [{ log, sequence: 7, turn: 1, hash: 'ab'.repeat(16) as ContextId }], more: false };
  };
  holders = [shelf];
  expect(await fetch()).toBe(0);
  expect(shelf.asked).toEqual([]);
});

test('with nobody to ask nothing comes, at once; and whoever has left is told so', async () => {
  expect(await fetch()).toBe(0);
  const gone = new AbortController();
  holders = [hanging('a')];
  const left = fetch(sessionKey(), 1000, gone.signal);
  gone.abort(new Error('gone'));
  await expect(left).rejects.toThrow('gone');
});
