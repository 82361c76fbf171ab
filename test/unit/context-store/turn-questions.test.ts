// Arbiters that are late, answer nonsense, or say that a turn is answered and do not hand it out: tries to have a node wait for
// longer than it was told to, and fetch the same session several times at once.
import { expect, test } from 'vitest';
import type { ReplicaStore } from '../../../src/context-store/leveldb/replica.ts';
import { type AskedPeer, TurnQuestions } from '../../../src/context-store/replication/peers/turn-questions.ts';
import type { CarriedVerdict } from '../../../src/context-store/replication/peers/turn-verdict.ts';
import { Applier } from '../../../src/context-store/replication/pull/applier.ts';
import { SessionFetches } from '../../../src/context-store/replication/pull/session-fetches.ts';
import type { TurnAttempt, TurnVerdict } from '../../../src/context-store/turn-arbitration.ts';
import type { ContextId, Incarnation, NodeId, TurnNumber } from '../../../src/domain/identifiers.ts';
import { KEYGROUP, sessionKey } from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const ARBITER = 'e2' as NodeId;
const attempt: TurnAttempt = { key: sessionKey('s'), turn: 1 as TurnNumber, parent: undefined, attempt: 1 };
const log = { origin: 'e3' as NodeId, incarnation: '0000000a' as Incarnation, keygroup: KEYGROUP };
const listed: CarriedVerdict = {
  verdict: { kind: 'answered' },
  page: { entries: [{ log, sequence: 1, turn: 1, hash: 'ab'.repeat(16) as ContextId }], more: false },
};
const waits = { patienceMs: 50, fetchMs: 200 };

function asking(answer: () => Promise<CarriedVerdict>) {
  const { clock, logger, logLines, advance } = virtualEnvironment();
  let fetched = 0;
  const peer: AskedPeer = {
    nodeId: ARBITER,
    delayMs: 10,
    turn: answer,
    tellOfGrant: () => {},
    list: () => new Promise(() => {}),
    session: () => new Promise(() => {}),
    fetch: () => {
      fetched++;
      return new Promise(() => {});
    },
  };
  const nothing = { nodeId: 'e1', positionOf: () => undefined, cursor: () => ({ sequence: 0 }) };
  const replica = nothing as unknown as ReplicaStore;
  const fetches = new SessionFetches({
    replica,
    applier: new Applier({ replica, logger }),
    holders: () => [],
    clock,
    logger,
  });
  const questions = new TurnQuestions({ replica, fetches, nodes: () => [], peer: () => peer, clock, logger });
  const verdicts: (TurnVerdict | undefined)[] = [];
  const ask = () => void questions.ask(ARBITER, attempt, waits).then((verdict) => verdicts.push(verdict));
  return { ask, verdicts, advance, logLines, fetched: () => fetched };
}

test('one that does not answer is waited for as long as its answers take, and a bit', async () => {
  const { ask, verdicts, advance } = asking(() => new Promise(() => {}));
  ask();
  await advance(59);
  expect(verdicts).toEqual([]);
  await advance(1);
  expect(verdicts).toEqual([undefined]);
});

test('one that answers nonsense has not answered, and that is said', async () => {
  const { ask, verdicts, advance, logLines } = asking(() => Promise.reject(new Error('its answer is malformed')));
  ask();
  await advance(0);
  expect(verdicts).toEqual([undefined]);
  expect(logLines).toMatchObject([{ event: 'turn_question_failed', fields: { peer: ARBITER } }]);
});

test('what it says is answered and does not hand out is waited for no longer than its client waits, and fetched once', async () => {
  const { ask, verdicts, advance, fetched } = asking(async () => listed);
  ask();
  await advance(waits.fetchMs - 1);
  expect(verdicts).toEqual([]);
  await advance(1);
  expect(verdicts).toEqual([{ kind: 'answered', isHere: false }]);
  ask();
  await advance(waits.fetchMs);
  expect(verdicts.length).toBe(2);
  expect(fetched()).toBe(1);
});
