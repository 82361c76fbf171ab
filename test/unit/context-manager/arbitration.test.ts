// One node's side of arbitration, against others that say anything: tries to have it say that nobody else can have been let
// answer a turn when somebody can, to have it wait without end, and to leave others waiting for a turn that it has given up.
import { expect, test } from 'vitest';
import { HeldTurn } from '../../../src/context-manager/arbitration/held-turn.ts';
import { CONFIRM_EVERY_MS, GRANT_MS, TurnGrants } from '../../../src/context-manager/arbitration/turn-grants.ts';
import type { GrantNews, TurnArbitration, TurnAttempt } from '../../../src/context-store/turn-arbitration.ts';
import type { NodeId, TurnNumber } from '../../../src/domain/identifiers.ts';
import { sessionKey } from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

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
