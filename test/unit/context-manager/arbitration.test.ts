// One node's side of arbitration, against others that say anything: tries to have it say that nobody else can have been let
// answer a turn when somebody can, to have it wait without end, and to leave others waiting for a turn that it has given up.
import { expect, test } from 'vitest';
import { Arbitration } from '../../../src/context-manager/arbitration/arbitration.ts';
import { HeldTurn } from '../../../src/context-manager/arbitration/held-turn.ts';
import { CONFIRM_EVERY_MS, GRANT_MS, TurnGrants } from '../../../src/context-manager/arbitration/turn-grants.ts';
import { Arrivals } from '../../../src/context-manager/sessions/arrivals.ts';
import type { SessionRecords } from '../../../src/context-manager/sessions/session-records.ts';
import { claimOf } from '../../../src/context-manager/turn/request-digest.ts';
import type { GatePass } from '../../../src/context-manager/turn/turn-gate.ts';
import type {
  GrantNews,
  TurnArbitration,
  TurnAttempt,
  TurnVerdict,
} from '../../../src/context-store/turn-arbitration.ts';
import { arbiterRanking } from '../../../src/domain/cluster/arbiter-ranking.ts';
import type { NodeId, TurnNumber } from '../../../src/domain/identifiers.ts';
import { SessionHistory } from '../../../src/domain/session/session-history.ts';
import { Stop } from '../../../src/waiting/stop.ts';
import { sessionKey } from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { requestOf } from '../../support/context-manager-rig.ts';

const [SELF, ARBITER, OTHER] = ['e1', 'e2', 'e3'] as NodeId[] as [NodeId, NodeId, NodeId];
const attempt: TurnAttempt = { key: sessionKey('s'), turn: 1 as TurnNumber, parent: undefined, attempt: 1 };

function heldTurn() {
  const { clock, advance, sleep } = virtualEnvironment();
  const told: (readonly [NodeId, GrantNews])[] = [];
  const others: TurnArbitration = {
    nodes: () => [],
    ask: async () => undefined,
    tell: (node, _, news) => void told.push([node, news]),
    serve: () => {},
  };
  const grants = new TurnGrants(clock);
  grants.take(SELF, attempt, { isEndless: true });
  const held = new HeldTurn({ nodeId: SELF, attempt, isArbitrated: true, asked: [ARBITER], others, grants, clock });
  return { held, grants, told, advance, sleep };
}

test('a turn that is confirmed all the time is the only one, however long it takes', async () => {
  const { held, told, advance } = heldTurn();
  await advance(10 * GRANT_MS);
  expect(told.length).toBe(Math.floor((10 * GRANT_MS) / CONFIRM_EVERY_MS));
  expect(held.isArbitrated).toBe(true);
});

test('a node that slept for longer than its grant lasts does not say that its turn is the only one, even when it is heard again', async () => {
  const { held, sleep, advance } = heldTurn();
  await advance(CONFIRM_EVERY_MS);
  sleep(GRANT_MS);
  expect(held.isArbitrated).toBe(false);
  await advance(CONFIRM_EVERY_MS);
  expect(held.isArbitrated).toBe(false);
});

test('when nobody knows whether it is stored, others wait no longer than for a node that died at it', async () => {
  const { held, grants, told, advance } = heldTurn();
  held.end('unknown');
  expect(told.at(-1)).toEqual([ARBITER, 'held']);
  expect(grants.take(OTHER, attempt)).toEqual({ kind: 'held', by: SELF });
  await advance(GRANT_MS);
  expect(grants.take(OTHER, attempt)).toEqual({ kind: 'taken', isSure: false, lapsed: SELF });
  expect(told.length).toBe(1);
});

/** A first turn at a node that holds nothing of the session that is not over, where the arbiter is another one. */
function firstTurn({ verdict, hasEnded }: { verdict: TurnVerdict; hasEnded: boolean }) {
  const { clock, advance } = virtualEnvironment();
  const session = { key: attempt.key, history: new SessionHistory(), deleted: false, corrupt: 0, tokens: undefined };
  const others: TurnArbitration = {
    nodes: () => [ARBITER, OTHER].map((nodeId) => ({ nodeId, isReachable: true })),
    ask: async () => verdict,
    tell: () => {},
    serve: () => {},
  };
  const records = { load: async () => session, hasEnded: async () => hasEnded } as unknown as SessionRecords;
  const grants = new TurnGrants(clock);
  const arbitration = new Arbitration({
    ...{ nodeId: SELF, others, records, grants, arrivals: new Arrivals(clock), clock, patienceMs: 50 },
  });
  const pass = {
    answered: undefined,
    base: undefined,
    session,
    waitedMs: 0,
    retries: 0,
    digest: 'd',
  } as unknown as GatePass;
  const key = sessionKey(NAMES_ANOTHER);
  const entering = {
    key,
    request: claimOf(requestOf({ session: NAMES_ANOTHER, turn: 1, maxWaitMs: 500 })),
    isNew: false,
  };
  const entered = arbitration.enter(entering, new Stop(), async () => pass);
  return { entered, advance };
}

const NAMES_ANOTHER = Array.from({ length: 20 }, (_, n) => `s${n}`).find(
  (name) => arbiterRanking(sessionKey(name), [SELF, ARBITER, OTHER])[0] !== SELF,
) as string;

test('a conversation that is over here and not yet at the arbiter does not keep its id from being used again', async () => {
  const { entered } = firstTurn({ verdict: { kind: 'answered', isHere: true }, hasEnded: true });
  const pass = await entered;
  expect(pass.answered).toBeUndefined();
  expect('held' in pass && pass.held.isArbitrated).toBe(false);
});

test.each([
  { verdict: { kind: 'answered', isHere: false } as const, hasEnded: true },
  { verdict: { kind: 'answered', isHere: true } as const, hasEnded: false },
])('an answer that has not come is waited for, and refused in the end: $verdict.isHere, $hasEnded', async (how) => {
  const { entered, advance } = firstTurn(how);
  const code = entered.then(
    () => 'entered',
    (error) => error.code,
  );
  await advance(2_000);
  expect(await code).toBe('context_stale');
});
