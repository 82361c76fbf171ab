// Counts of peers that have a record are what write concern `replicated` tells a client. Tries to have them counted wrong, or
// to fill the memory, by saying what is nobody's to say: of other logs, under this node's own name, under many names.
import { expect, test } from 'vitest';
import type { OriginLog } from '../../../src/context-store/leveldb/log/origin-log.ts';
import { NODES_MAX } from '../../../src/context-store/replication/peers/peer-protocol.ts';
import { ReplicaAcks } from '../../../src/context-store/replication/publish/replica-acks.ts';
import type { Incarnation, KeygroupId, NodeId } from '../../../src/domain/identifiers.ts';
import { KEYGROUP } from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const own = {
  nodeId: 'e1' as NodeId,
  incarnation: 'deadbeef' as Incarnation,
  isWritten: ({ keygroup }: OriginLog) => keygroup === KEYGROUP,
};
const log: OriginLog = { origin: own.nodeId, incarnation: own.incarnation, keygroup: KEYGROUP };
const newAcks = () => new ReplicaAcks(own, virtualEnvironment().clock);

test('a peer counts for what it has, and once', () => {
  const acks = newAcks();
  acks.note('e2' as NodeId, log, 5);
  acks.note('e2' as NodeId, log, 6);
  acks.note('e3' as NodeId, log, 4);
  expect([acks.count(log, 4), acks.count(log, 5), acks.count(log, 7)]).toEqual([2, 1, 0]);
});

test('a peer whose disk is new has less than before', () => {
  const acks = newAcks();
  acks.note('e2' as NodeId, log, 5);
  acks.note('e2' as NodeId, log, 0);
  expect(acks.count(log, 1)).toBe(0);
});

test('this node is no peer of its own, whoever says so', () => {
  const acks = newAcks();
  acks.note(own.nodeId, log, 5);
  expect(acks.count(log, 5)).toBe(0);
});

test.each([
  ['another node', { ...log, origin: 'e2' as NodeId }],
  ['an earlier disk', { ...log, incarnation: '00000001' as Incarnation }],
  ['a keygroup of which it has written nothing', { ...log, keygroup: 'ffffffffffffffff' as KeygroupId }],
])('nothing is kept of the log of %s', (_, other) => {
  const acks = newAcks();
  acks.note('e2' as NodeId, other, 5);
  expect(acks.count(other, 5)).toBe(0);
});

test('names of more peers than a cluster has are not kept', () => {
  const acks = newAcks();
  for (let i = 0; i < 3 * NODES_MAX; i++) acks.note(`n${i}` as NodeId, log, 5);
  expect(acks.count(log, 5)).toBe(NODES_MAX);
});
