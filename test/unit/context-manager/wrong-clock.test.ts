// Sets the clock of a node that has answered turns: far ahead for moments, back to 1970, and right again after hours. What was
// acknowledged must be there for its whole life, be found by whoever asks, and end after it.
import { expect, it } from 'vitest';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { contextManagerRig, type Rig, replicaRig } from '../../support/context-manager-rig.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const ADA = 'ada' as never;
const DAY_LONG = { options: { ttlSeconds: 86_400, ttlSecondsMax: 86_400 } };

const turnsOf = async (rig: Rig, session = 's') =>
  (await rig.manager.sessions.show(ADA, session as never)).turns.length;
const listed = async (rig: Rig) =>
  (await rig.manager.sessions.list({ userId: ADA, after: undefined, limit: 10 })).sessions.length;
const sweep = (rig: Rig) => rig.node.records.removeExpired();

/** The node's time is looked after, as it runs. */
async function passes(rig: Rig, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= MINUTE) {
    await rig.environment.advance(Math.min(left, MINUTE));
    rig.node.time.consider([]);
    await sweep(rig);
  }
}

it.each([
  ['a node alone', contextManagerRig],
  ['one of several', replicaRig],
] as const)('%s, 25 hours ahead for four seconds: nothing is gone, hidden or refused', async (_, start) => {
  const rig: Rig = await start(DAY_LONG);
  await rig.turns('s', { to: 2 });
  rig.environment.jump(25 * HOUR);
  await rig.environment.advance(4 * SECOND);
  expect(await sweep(rig)).toBe(0);
  expect(await listed(rig)).toBe(1);
  expect(await turnsOf(rig)).toBe(2);
  expect(await rig.turn({ session: 's', turn: 3 })).toMatchObject({ basedOnTurn: 2 });
  rig.environment.jump(-25 * HOUR);
  rig.restart();
  await sweep(rig);
  expect(await turnsOf(rig)).toBe(3);
  await passes(rig, 25 * HOUR);
  expect(await rig.store.status()).toMatchObject({ sessions: 0 });
});

it('a turn written meanwhile is dated by the true time', async () => {
  const rig = await contextManagerRig(DAY_LONG);
  rig.environment.jump(25 * HOUR);
  await rig.turn({ session: 's', turn: 1 });
  rig.environment.jump(-25 * HOUR);
  expect(rig.records('s')[0]?.record.writtenAtMs).toBe(rig.environment.clock.now());
});

it('a node that starts in 1970 and is set after an hour keeps what it was told for a whole day, and not for ever', async () => {
  const environment = virtualEnvironment({ startMs: 0 });
  const rig = await contextManagerRig({ ...DAY_LONG, environment });
  await rig.turn({ session: 's', turn: 1 });
  await passes(rig, HOUR);
  environment.jump(Date.UTC(2026, 10, 28));
  await passes(rig, 22 * HOUR);
  expect(rig.node.time.doubt).toBeUndefined();
  expect(await turnsOf(rig)).toBe(1);
  await rig.turn({ session: 's', turn: 2 });
  await rig.turn({ session: 't', turn: 1 });
  await passes(rig, 23 * HOUR);
  expect(await turnsOf(rig)).toBe(2);
  // The longest that anything lives, a deletion included, after the clock was put forward.
  await passes(rig, 26 * HOUR);
  expect(await rig.store.status()).toMatchObject({ sessions: 0 });
});

it('a clock that is put back revives nothing that was deleted', async () => {
  const rig = await contextManagerRig(DAY_LONG);
  await rig.turn({ session: 's', turn: 1 });
  await rig.manager.sessions.delete(ADA, 's' as never);
  rig.environment.jump(-50 * 365 * 24 * HOUR);
  await passes(rig, 24 * HOUR);
  await expect(rig.turn({ session: 's', turn: 1 })).rejects.toThrow(DiscedgeError);
});

it('what a node in 1970 writes lives its whole life at the others, from when it comes there, and not longer', async () => {
  const lost = await sharedRig(virtualEnvironment({ startMs: 0 }));
  await lost.turns('s', { to: 2 });
  const here = await replicaRig(DAY_LONG);
  for (const sealed of lost.records('s')) await here.store.arrive(sealed);
  const isThere = async () => {
    await sweep(here);
    expect(await listed(here)).toBe(1);
    expect(await turnsOf(here)).toBe(2);
  };
  await isThere();
  await passes(here, 23 * HOUR);
  await isThere();
  here.restart();
  await isThere();
  await passes(here, 2 * HOUR);
  await expect(turnsOf(here)).rejects.toThrow(DiscedgeError);
  expect(await here.store.status()).toMatchObject({ sessions: 0 });
});

it('a conversation written in 1970 is not taken for one that ended before the other under its id began', async () => {
  const lost = await sharedRig(virtualEnvironment({ startMs: 0 }));
  await lost.turns('s', { to: 2, text: 'of the lost' });
  const here = await replicaRig(DAY_LONG);
  await here.turn({ session: 's', turn: 1 });
  for (const sealed of lost.records('s')) await here.store.arrive(sealed);
  const contextId = lost.records('s')[1]?.hash as string;
  expect(await here.turn({ session: 's', turn: 3, contextId })).toMatchObject({ basedOnTurn: 2 });
});

/** One of several nodes, whose peers have not confirmed its clock. */
function sharedRig(environment: VirtualEnvironment) {
  return replicaRig({ ...DAY_LONG, environment });
}
