// Takes a link through its states in every order: a peer that was refused must not count as known, one that answers again
// must be noticed, and nobody is told what they know.
import { describe, expect, test } from 'vitest';
import { LastSeen } from '../../../src/context-store/replication/peers/last-seen.ts';
import {
  accepted,
  connectionLost,
  connectionUp,
  isBack,
  isNewStart,
  looksTheSame,
  nodeOf,
  notConnectedYet,
  type PeerLinkState,
  refused,
  unanswered,
} from '../../../src/context-store/replication/peers/peer-link-state.ts';
import type { NodeAnnouncement } from '../../../src/context-store/replication/peers/peer-protocol.ts';
import { PeerStateLog } from '../../../src/context-store/replication/peers/peer-state-log.ts';
import type { ClusterName, Incarnation, NodeId } from '../../../src/domain/identifiers.ts';
import { RECORD_FORMAT_VERSION } from '../../../src/domain/record/record-version.ts';
import { KEYGROUP } from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

function announced(instance: string): NodeAnnouncement {
  return {
    cluster: 'blue' as ClusterName,
    nodeId: 'e2' as NodeId,
    incarnation: 'deadbeef' as Incarnation,
    instance,
    recordVersion: RECORD_FORMAT_VERSION,
    keygroups: [KEYGROUP],
  };
}

const node = announced('first');
const unknown = notConnectedYet(undefined);
const states: readonly PeerLinkState[] = [
  unknown,
  notConnectedYet(node),
  connectionUp(unknown),
  unanswered(connectionUp(notConnectedYet(node)), 'no answer'),
  accepted(node),
  refused('another cluster'),
];

describe('what is known of the peer', () => {
  test('outlives a lost connection and a greeting without an answer', () => {
    for (const state of [notConnectedYet(node), accepted(node)]) {
      const later = [connectionUp(state), connectionLost(state, 'cut'), unanswered(state, 'no answer')];
      expect(later.map(nodeOf)).toEqual([node, node, node]);
    }
  });

  test('is forgotten when it is refused, and does not come back with the connection', () => {
    const state = refused('another cluster');
    const later = [state, connectionLost(state, 'cut'), connectionUp(connectionLost(state, 'cut'))];
    expect(later.map(nodeOf)).toEqual([undefined, undefined, undefined]);
  });

  test('is what it said last', () => {
    expect(nodeOf(accepted(announced('second')))).toEqual(announced('second'));
  });
});

describe('a peer that was out of reach', () => {
  const wasOutOfReach = (state: PeerLinkState) => state.kind === 'silent' && state.wasOutOfReach;

  test('is one that failed to answer, not one that was not asked yet', () => {
    for (const state of states) expect(wasOutOfReach(connectionUp(state))).toBe(false);
    for (const state of states) expect(wasOutOfReach(unanswered(state, 'no answer'))).toBe(true);
  });

  test('starts afresh with a new connection', () => {
    const missed = unanswered(connectionUp(unknown), 'no answer');
    expect(wasOutOfReach(connectionUp(connectionLost(missed, 'cut')))).toBe(false);
  });
});

describe('a sign of life', () => {
  test('calls for a greeting unless the peer is connected and the same', () => {
    expect(states.map((state) => isNewStart(state, 'first'))).toEqual(states.map(({ kind }) => kind !== 'connected'));
    expect(isNewStart(accepted(node), 'second')).toBe(true);
  });

  test('by a beacon does when it was silent or has another disk; a refused one is left alone', () => {
    expect(states.map((state) => isBack(state, 'deadbeef'))).toEqual(states.map(({ kind }) => kind === 'silent'));
    expect(isBack(accepted(node), 'cafebabe')).toBe(true);
    expect(isBack(refused('another cluster'), 'cafebabe')).toBe(false);
  });
});

test('a step is worth telling when state or reason change, not when the peer describes itself anew', () => {
  for (const state of states) expect(looksTheSame(state, state)).toBe(true);
  expect(looksTheSame(accepted(node), accepted(announced('second')))).toBe(true);
  expect(looksTheSame(unanswered(unknown, 'no answer'), unanswered(unknown, 'not allowed'))).toBe(false);
  expect(looksTheSame(connectionLost(unknown, 'cut'), unanswered(unknown, 'cut'))).toBe(false);
});

test('the log names each reason once until the peer is connected, some of them, and none before the first greeting', () => {
  const { logger, logLines } = virtualEnvironment();
  const log = new PeerStateLog('e2' as NodeId, logger);
  const events = () => logLines.map(({ event, fields }) => [event, fields.state ?? fields.reason]);
  for (const state of [connectionUp(unknown), connectionLost(unknown, 'cut'), unanswered(unknown, 'cut')])
    log.note(state);
  log.note(refused('another cluster'));
  log.note(accepted(node));
  log.note(connectionLost(unknown, 'cut'));
  expect(events()).toEqual([
    ['peer_not_connected', 'unreachable'],
    ['peer_refused', 'another cluster'],
    ['peer_connected', undefined],
    ['peer_not_connected', 'unreachable'],
  ]);
  for (let i = 0; i < 10; i++) log.note(unanswered(unknown, `no answer ${i}`));
  expect(events()).toHaveLength(7);
});

test('a peer that is watched and falls quiet is told of once, and a sign of life puts it off', async () => {
  const environment = virtualEnvironment();
  let quiet = 0;
  const seen = new LastSeen(environment.clock, { quietMs: 100, onQuiet: () => quiet++ });
  expect(seen.atMs).toBeUndefined();
  seen.note();
  await environment.advance(60);
  seen.note();
  expect(seen.atMs).toBe(environment.clock.now());
  await environment.advance(60);
  expect(quiet).toBe(0);
  await environment.advance(1_000);
  expect(quiet).toBe(1);
  seen.note();
  seen.stopWatching();
  await environment.advance(1_000);
  expect([quiet, environment.pendingTimers]).toEqual([1, 0]);
});
