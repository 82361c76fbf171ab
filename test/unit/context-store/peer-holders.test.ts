// Who else holds a session decides what a full node lets go. Tries to have a session taken for held that nobody holds: by a peer
// that has evicted it, that is behind, has another disk, serves the model no more, has left, or could not be sent a part of it.
import { beforeEach, describe, expect, test } from 'vitest';
import { HELD } from '../../../src/context-store/held-elsewhere.ts';
import type { OriginLog } from '../../../src/context-store/leveldb/log/origin-log.ts';
import type { LogSpan } from '../../../src/context-store/leveldb/room/other-holders.ts';
import { type Announcement, LOGS_MAX } from '../../../src/context-store/replication/peers/peer-protocol.ts';
import { PeerHolders } from '../../../src/context-store/replication/publish/peer-holders.ts';
import { ReplicaAcks } from '../../../src/context-store/replication/publish/replica-acks.ts';
import type { Incarnation, KeygroupId, NodeId } from '../../../src/domain/identifiers.ts';
import { KEYGROUP } from '../../../tools/turn-records.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { type ToldPeer, tableOfPeers } from '../../support/told-peers.ts';

const DISK = '0badcafe' as Incarnation;
const logOf = (origin: string, incarnation: Incarnation = DISK): OriginLog => ({
  ...{ origin: origin as NodeId, incarnation, keygroup: KEYGROUP },
});
const OWN = logOf('a');
const span = (log: OriginLog, first: number, last = first): LogSpan => ({ log, first, last });

let environment: VirtualEnvironment;
let acks: ReplicaAcks;
let told: Announcement[];
let uncarried: number[];
let peers: Record<string, ToldPeer>;
let lastOwn: number;
let holders: PeerHolders;

beforeEach(() => {
  environment = virtualEnvironment();
  told = [];
  uncarried = [];
  peers = { b: {}, c: {} };
  lastOwn = 20;
  const own = { nodeId: 'a' as NodeId, incarnation: DISK };
  acks = new ReplicaAcks({ ...own, isWritten: () => true }, environment.clock);
  holders = new PeerHolders({
    replica: { ...own, cursor: () => ({ sequence: lastOwn, streamSequence: 0 }) },
    keygroups: [KEYGROUP],
    acks,
    peers: () => tableOfPeers(peers),
    announce: (announcement) => told.push(announcement),
    uncarried: () => new Set(uncarried),
    clock: environment.clock,
  });
});

const held = (...spans: LogSpan[]) => holders.held({ spans, writer: (spans.at(-1) as LogSpan).log });
const has = (peer: string, through: number) => acks.note(peer as NodeId, OWN, through);
const evicts = (peer: string, log: OriginLog, through: number) => holders.note(peer as NodeId, log, through);

describe('of what this node has written', () => {
  test('a peer has what it has said to have, and nobody more', () => {
    expect(held(span(OWN, 1))).toBe(HELD.byNobody);
    has('b', 5);
    expect(held(span(OWN, 3, 5))).toBe(HELD.byOthers);
    expect(held(span(OWN, 3, 6))).toBe(HELD.byNobody);
  });

  test('what it has evicted it has not, nor what came before that', () => {
    has('b', 9);
    evicts('b', OWN, 4);
    expect([held(span(OWN, 4, 6)), held(span(OWN, 5, 6))]).toEqual([HELD.byNobody, HELD.byOthers]);
    has('c', 6);
    expect(held(span(OWN, 4, 6))).toBe(HELD.byOthers);
  });

  test('a peer that cannot be asked now counts for less, and one that has left for nothing', () => {
    has('b', 9);
    peers = { b: { state: 'unreachable' }, c: {} };
    expect(held(span(OWN, 1))).toBe(HELD.byNodesAway);
    peers = { c: {} };
    expect(held(span(OWN, 1))).toBe(HELD.byNobody);
  });

  test('a record that no message carries is here alone, however far peers are', () => {
    has('b', 9);
    uncarried = [4];
    expect([held(span(OWN, 3, 5)), held(span(OWN, 5, 6))]).toEqual([HELD.byNobody, HELD.byOthers]);
  });

  test('of an earlier disk of this node nothing is known', () => {
    acks.note('b' as NodeId, logOf('a', 'deadbeef' as Incarnation), 9);
    expect(held(span(logOf('a', 'deadbeef' as Incarnation), 1))).toBe(HELD.byNobody);
  });
});

describe('of what another node has written', () => {
  test('that node has it, until it says to have evicted it', () => {
    expect(held(span(logOf('b'), 1, 5))).toBe(HELD.byItsWriter);
    evicts('b', logOf('b'), 3);
    expect([held(span(logOf('b'), 3)), held(span(logOf('b'), 4))]).toEqual([HELD.byNobody, HELD.byItsWriter]);
  });

  test.each<[string, Record<string, ToldPeer>, number]>([
    ['is away', { b: { state: 'silent' } }, HELD.byNodesAway],
    ['has another disk', { b: { node: { incarnation: 'deadbeef' as Incarnation } } }, HELD.byNobody],
    ['has not been met since the start', { b: { node: undefined } }, HELD.byNobody],
    ['serves another model by now', { b: { node: { keygroups: ['ff' as KeygroupId] } } }, HELD.byNobody],
    ['is of a version that hands out no sessions', { b: { node: { handsOutSessions: undefined } } }, HELD.byNobody],
    ['has left', { c: {} }, HELD.byNobody],
  ])('not when it %s', (_, now, expected) => {
    peers = now;
    expect(held(span(logOf('b'), 1))).toBe(expected);
  });
});

describe('of what a peer has told of its evictions', () => {
  const greets = (incarnation: Incarnation, evictedThrough?: number) =>
    holders.noteLogs({ nodeId: 'b' as NodeId, incarnation }, [
      { log: OWN, ...(evictedThrough !== undefined && { evictedThrough }) },
    ]);
  const heldAt = (...sequences: number[]) => sequences.map((sequence) => held(span(OWN, sequence)) === HELD.byOthers);

  beforeEach(() => has('b', 9));

  test('a greeting written before it takes nothing back', () => {
    evicts('b', OWN, 4);
    greets(DISK, 2);
    expect(heldAt(4, 5)).toEqual([false, true]);
    greets(DISK);
    evicts('b', OWN, 3);
    expect(heldAt(4, 5)).toEqual([false, true]);
    greets(DISK, 6);
    expect(heldAt(6, 7)).toEqual([false, true]);
  });

  test('with a new disk it begins anew', () => {
    greets(DISK, 4);
    greets('deadbeef' as Incarnation);
    expect(heldAt(4)).toEqual([true]);
  });

  test('of more logs than are kept none other counts', () => {
    for (let disk = 0; disk < LOGS_MAX; disk++) {
      expect(heldAt(5)).toEqual([true]);
      evicts('b', logOf('d', disk.toString(16).padStart(8, '0') as Incarnation), 1);
    }
    evicts('b', OWN, 5);
    expect(heldAt(5)).toEqual([false]);
    has('c', 9);
    expect(heldAt(5)).toEqual([true]);
  });
});

test('a session of several writers is held as its worst part is, and is of the one that wrote its last turn', () => {
  has('c', 5);
  expect(held(span(logOf('b'), 1), span(OWN, 5))).toBe(HELD.byOthers);
  expect(held(span(OWN, 5), span(logOf('b'), 1))).toBe(HELD.byItsWriter);
  expect(held(span(OWN, 6), span(logOf('b'), 1))).toBe(HELD.byNobody);
  peers = { ...peers, b: { state: 'unreachable' } };
  expect(held(span(OWN, 5), span(logOf('b'), 1))).toBe(HELD.byNodesAway);
});

test('peers are asked what they have at most once a second, and only while there is something to hear', async () => {
  holders.ask();
  holders.ask();
  const want = { kind: 'want', keygroup: KEYGROUP, sequence: 20 };
  expect(told).toEqual([want]);
  await environment.advance(1_000);
  has('b', 20);
  holders.ask();
  expect(told).toEqual([want]);
  lastOwn = 21;
  await environment.advance(1_000);
  holders.ask();
  expect(told).toEqual([want, { ...want, sequence: 21 }]);
});

test('what is evicted here is told, and what somebody tells who is no peer is not kept', () => {
  holders.tellEvicted([{ log: OWN, through: 7 }]);
  expect(told).toEqual([{ kind: 'evicted', log: OWN, through: 7 }]);
  evicts('d', logOf('d'), 9);
  peers = { d: {} };
  expect(held(span(logOf('d'), 1))).toBe(HELD.byItsWriter);
});
