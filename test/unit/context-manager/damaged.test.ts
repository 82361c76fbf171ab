// A session of which a stored record is damaged. Tries to get a second effect for a turn that was acknowledged, to open
// the session anew beside its own records, and to be left with something that cannot be deleted.
import { expect, it } from 'vitest';
import type { SessionId, UserId } from '../../../src/domain/identifiers.ts';
import { codeOf, contextManagerRig } from '../../support/context-manager-rig.ts';

const USER = 'ada' as UserId;
const SESSION = 's' as SessionId;

it.each([1, 2, 3])('with turn %i of 3 damaged no turn is answered twice, and none after it at all', async (damaged) => {
  const rig = await contextManagerRig();
  const replies = await rig.turns('s', { to: 3 });
  rig.store.damagedTurns.add(damaged);
  rig.restart();
  const generations = rig.llm.generations.length;
  for (const turn of [1, 2, 3]) {
    const again = rig.turn({ session: 's', turn });
    if (turn < damaged) expect(await again).toMatchObject({ replayed: true, contextId: replies[turn - 1]?.contextId });
    else expect(await codeOf(again)).toBe('context_corrupt');
  }
  expect(await codeOf(rig.turn({ session: 's', turn: 4, consistency: 'available' }))).toBe('context_corrupt');
  expect(await codeOf(rig.turn({ session: 's', turn: 3, contextId: replies[1]?.contextId, text: 'other' }))).toBe(
    'context_corrupt',
  );
  expect(rig.llm.generations).toHaveLength(generations);
});

it.each([1, 3])('with turn %i damaged the rest can be shown, and the session deleted', async (damaged) => {
  const rig = await contextManagerRig();
  await rig.turns('s', { to: 3 });
  rig.store.damagedTurns.add(damaged);
  rig.restart();
  const view = await rig.manager.sessions.show(USER, SESSION);
  expect(view).toMatchObject({ corruptRecords: 1, turns: { length: damaged - 1 } });
  await rig.manager.sessions.delete(USER, SESSION);
  expect(await codeOf(rig.manager.sessions.show(USER, SESSION))).toBe('session_deleted');
});

it('a turn is not lost because the LLM Service cannot say what its ids show', async () => {
  const rig = await contextManagerRig();
  rig.llm.detokenize = async () => {
    throw new Error('the service went away after its last id');
  };
  const reply = await rig.turn({ session: 's', turn: 1, text: 'hello' });
  expect(await rig.turn({ session: 's', turn: 1, text: 'hello' })).toMatchObject({ replayed: true, text: reply.text });
});
