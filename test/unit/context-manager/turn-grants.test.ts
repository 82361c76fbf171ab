// Who is at which turn: tries to have two nodes let go on at once, to have a late word of one attempt end the next one, and to
// have a grant of which nothing was heard again pass for one that was given back.
import { expect, test } from 'vitest';
import { CONFIRM_EVERY_MS, GRANT_MS, TurnGrants } from '../../../src/context-manager/arbitration/turn-grants.ts';
import type { TurnAttempt } from '../../../src/context-store/turn-arbitration.ts';
import type { ContextId, NodeId, TurnNumber } from '../../../src/domain/identifiers.ts';
import { sessionKey } from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const [E1, E2, E3] = ['e1', 'e2', 'e3'] as NodeId[] as [NodeId, NodeId, NodeId];
const attempt = (number = 1, session = 's', parent = 'p'): TurnAttempt => ({
  key: sessionKey(session),
  turn: 2 as TurnNumber,
  parent: parent as ContextId,
  attempt: number,
});
const SURE = { kind: 'taken', isSure: true };

function grantsAt() {
  const { clock, advance } = virtualEnvironment();
  return { grants: new TurnGrants(clock), advance };
}

test('one node at a time is at a turn; another turn, session or branch is another matter', () => {
  const { grants } = grantsAt();
  expect(grants.take(E1, attempt())).toEqual(SURE);
  expect(grants.take(E2, attempt())).toEqual({ kind: 'held', by: E1 });
  expect(grants.take(E1, attempt(2))).toEqual(SURE);
  expect(grants.take(E2, attempt(1, 'other'))).toEqual(SURE);
  expect(grants.take(E2, attempt(1, 's', 'other'))).toEqual(SURE);
});

test('given back it is free, and the end of an earlier attempt does not end the next', () => {
  const { grants } = grantsAt();
  grants.take(E1, attempt(1));
  grants.take(E1, attempt(2));
  grants.giveBack(E1, attempt(1));
  grants.giveBack(E2, attempt(2));
  expect(grants.take(E3, attempt())).toEqual({ kind: 'held', by: E1 });
  grants.giveBack(E1, attempt(2));
  expect(grants.take(E3, attempt())).toEqual(SURE);
});

test('it lasts for as long as it is confirmed, and after that nobody can be sure', async () => {
  const { grants, advance } = grantsAt();
  grants.take(E1, attempt());
  for (let n = 0; n < 10; n++) {
    await advance(CONFIRM_EVERY_MS);
    grants.take(E1, attempt());
  }
  await advance(GRANT_MS - 1);
  expect(grants.take(E2, attempt())).toEqual({ kind: 'held', by: E1 });
  await advance(1);
  expect(grants.take(E2, attempt())).toEqual({ kind: 'taken', isSure: false, lapsed: E1 });
});

test('who was at it and was not heard of again is remembered, whoever takes it and gives it back meanwhile', async () => {
  const { grants, advance } = grantsAt();
  grants.take(E1, attempt());
  await advance(GRANT_MS);
  expect(grants.take(E2, attempt(1))).toMatchObject({ isSure: false, lapsed: E1 });
  expect(grants.take(E2, attempt(2))).toMatchObject({ isSure: false, lapsed: E1 });
  grants.giveBack(E2, attempt(2));
  expect(grants.take(E3, attempt())).toMatchObject({ isSure: false, lapsed: E1 });
});

test('word of an attempt that is over may come after the next has begun, and does not end it', () => {
  const { grants } = grantsAt();
  grants.take(E1, attempt(2));
  grants.take(E1, attempt(1));
  grants.giveBack(E1, attempt(1));
  expect(grants.take(E2, attempt())).toEqual({ kind: 'held', by: E1 });
});

test('after a restart nothing is sure until what was granted before it has been confirmed, or is over', async () => {
  const { clock, advance } = virtualEnvironment();
  const grants = new TurnGrants(clock, { isRestart: true });
  expect(grants.take(E1, attempt())).toEqual({ kind: 'taken', isSure: false });
  await advance(GRANT_MS);
  expect(grants.take(E1, attempt(1, 'other'))).toEqual(SURE);
});

test("a node's own lasts until it ends, and what is answered is forgotten", async () => {
  const { grants, advance } = grantsAt();
  grants.take(E1, attempt(), { isEndless: true });
  await advance(1e9);
  expect(grants.heldFrom(E2, attempt())).toBe(E1);
  const { key, parent } = attempt();
  grants.settle(key, parent);
  expect(grants.take(E2, attempt())).toEqual(SURE);
});

test('more than there is room for are let go on and not remembered, until some are over', async () => {
  const { grants, advance } = grantsAt();
  for (let n = 0; n < 10_000; n++) expect(grants.take(E1, attempt(1, `s${n}`))).toEqual(SURE);
  expect(grants.take(E2, attempt(1, 'one-more'))).toEqual({ kind: 'taken', isSure: false });
  expect(grants.take(E2, attempt(1, 's0'))).toEqual({ kind: 'held', by: E1 });
  await advance(GRANT_MS);
  expect(grants.take(E2, attempt(1, 'one-more'))).toEqual(SURE);
});
