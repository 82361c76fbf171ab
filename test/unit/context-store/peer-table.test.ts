import { expect, test } from 'vitest';
import type { Incarnation, KeygroupId, NodeId } from '../../../src/domain/identifiers.ts';
import { KEYGROUP } from '../../../tools/turn-records.ts';
import { type ToldPeer, tableOfPeers } from '../../support/told-peers.ts';

const OTHER = '00000000000000bb' as KeygroupId;
const INCARNATION = '0badcafe' as Incarnation;

const UNABLE = { handsOutSessions: undefined, arbitratesTurns: undefined, tellsOfAnswers: undefined };

function tableOf(peers: Readonly<Record<string, ToldPeer>>) {
  const looked: string[] = [];
  return { table: tableOfPeers(peers, (id) => looked.push(id)), looked };
}

const ids = (some: readonly { readonly nodeId: NodeId }[]) => some.map(({ nodeId }) => nodeId);

test('a peer is asked for what it says that it does, of keygroups that it serves, while it is there', () => {
  const { table } = tableOf({
    whole: {},
    away: { state: 'unreachable' },
    old: { node: UNABLE },
    elsewhere: { node: { keygroups: [OTHER] } },
    silent: { node: undefined },
  });
  expect(ids(table.sessionHolders(KEYGROUP))).toEqual(['whole']);
  expect(ids(table.answeringPeers(KEYGROUP))).toEqual(['whole']);
  expect(table.askedPeer('whole' as NodeId, KEYGROUP)).toBeDefined();
  for (const id of ['away', 'old', 'elsewhere', 'silent', 'nobody'])
    expect(table.askedPeer(id as NodeId, KEYGROUP), id).toBeUndefined();
  expect(table.arbiters(KEYGROUP)).toEqual([
    { nodeId: 'whole', isReachable: true },
    { nodeId: 'away', isReachable: false },
    { nodeId: 'old', isReachable: false },
  ]);
  // Of one that has said nothing yet nobody knows.
  expect(table.mayHold(KEYGROUP)).toEqual(['whole', 'away', 'old', 'silent']);
});

test('a log is handed out by the node that writes it, on the disk that it has now', () => {
  const { table } = tableOf({ a: {}, away: { state: 'silent' } });
  const log = { origin: 'a' as NodeId, incarnation: INCARNATION, keygroup: KEYGROUP };
  const own = { nodeId: 'own' as NodeId, incarnation: '0000000b' as Incarnation };
  expect(table.handsOut(log)).toBe(true);
  expect(table.handsOut({ ...log, origin: 'away' as NodeId })).toBe(false);
  expect(table.handsOut({ ...log, incarnation: own.incarnation })).toBe(false);
  expect(table.handsOut({ ...log, keygroup: OTHER })).toBe(false);
  expect(table.isCurrent({ ...log, origin: 'away' as NodeId }, own)).toBe(true);
  expect(table.isCurrent({ ...log, incarnation: own.incarnation }, own)).toBe(false);
  expect(table.isCurrent({ ...log, origin: own.nodeId, incarnation: own.incarnation }, own)).toBe(true);
});

test('when a node goes away the others that are there are looked at again, and it is not', () => {
  const { table, looked } = tableOf({ gone: { state: 'unreachable' }, a: {}, b: {}, silent: { state: 'silent' } });
  table.lookAround(table.get('gone' as NodeId));
  expect(looked).toEqual(['a', 'b']);
  table.lookAround(table.get('a' as NodeId));
  table.lookAround(undefined);
  expect(looked).toEqual(['a', 'b']);
  expect(ids(table.holdersBut('a' as NodeId))).toEqual(['b']);
  expect(table.areAllConnected).toBe(false);
  expect(table.isAway('nobody' as NodeId)).toBe(true);
});
