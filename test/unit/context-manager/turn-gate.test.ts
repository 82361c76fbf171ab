// Makes a turn come before the turn it goes on from: the missing record arrives late, in the wrong order, while the
// session is being read, as a replay, as a deletion, or never. The clock moves only when told, so every wait that ends
// without it has ended by the event.
import { beforeEach, describe, expect, it } from 'vitest';
import type { SealedRecord } from '../../../src/domain/record/record-codec.ts';
import { codeOf, contextManagerRig, errorOf, type Rig, replicaRig } from '../../support/context-manager-rig.ts';
import type { ProbedReplica } from '../../support/probed-store.ts';

/** Another node with a session of five turns, whose records the tests let arrive. */
let records: SealedRecord[];
let tombstone: SealedRecord;
let rig: Rig<ProbedReplica>;

beforeEach(async () => {
  const elsewhere = await contextManagerRig({ options: { nodeId: 'node-2' as never } });
  await elsewhere.turns('s', { to: 5 });
  records = elsewhere.records('s');
  await elsewhere.manager.sessions.delete('ada' as never, 's' as never);
  tombstone = elsewhere.store.appended.at(-1) as SealedRecord;
  rig = await replicaRig();
});

const arrive = (...turns: number[]) =>
  turns.reduce(
    (before, turn) => before.then(() => rig.store.arrive(records[turn - 1] as SealedRecord)),
    Promise.resolve(),
  );

/** The gate waits: a timer is set, and nothing else is going on. */
async function waiting(): Promise<void> {
  await rig.settled();
  expect(rig.environment.pendingTimers).toBe(1);
  expect(rig.llm.generations).toHaveLength(0);
}

describe('a turn whose predecessor is not here', () => {
  it('goes on the moment it arrives', async () => {
    await arrive(1);
    const reply = rig.turn({ session: 's', turn: 3 });
    await waiting();
    await arrive(2);
    expect(await reply).toMatchObject({ turn: 3, basedOnTurn: 2, retries: 1, waitedMs: 0 });
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('waits for all of it, and says for how long it did', async () => {
    const reply = rig.turn({ session: 's', turn: 5 });
    for (const turn of [1, 2, 3, 4]) {
      await waiting();
      await rig.environment.advance(100);
      await arrive(turn);
    }
    expect(await reply).toMatchObject({ turn: 5, basedOnTurn: 4, retries: 4, waitedMs: 400 });
  });

  it('goes on when the records come in the wrong order', async () => {
    const reply = rig.turn({ session: 's', turn: 5 });
    await arrive(4, 3, 2);
    await waiting();
    await arrive(1);
    expect(await reply).toMatchObject({ turn: 5, basedOnTurn: 4 });
  });

  it('waits for the context that its context_id names, though the turn before it is here', async () => {
    await rig.turn({ session: 's', turn: 1, text: 'a branch of our own' });
    await rig.turn({ session: 's', turn: 2, text: 'a branch of our own' });
    rig.llm.generations.length = 0;
    const reply = rig.turn({ session: 's', turn: 3, contextId: records[1]?.hash });
    await waiting();
    await arrive(1, 2);
    expect(await reply).toMatchObject({ turn: 3, basedOnTurn: 2 });
    expect(rig.records('s').at(-1)?.record.parent).toBe(records[1]?.hash);
  });

  it('is not woken for good by another session', async () => {
    const reply = codeOf(rig.turn({ session: 's', turn: 2, user: 'bob' }));
    await waiting();
    await arrive(1);
    await waiting();
    await rig.environment.advance(1000);
    expect(await reply).toBe('context_stale');
  });

  it('hears of what arrives while the session is being read', async () => {
    await arrive(1);
    for (const where of ['read', 'answer'] as const) {
      rig.restart();
      const hold = rig.store.hold(where);
      const turn = where === 'read' ? 3 : 4;
      const reply = rig.turn({ session: 's', turn });
      await hold.entered;
      await arrive(turn - 1);
      hold.release();
      expect(await reply).toMatchObject({ turn, basedOnTurn: turn - 1, waitedMs: 0 });
    }
  });

  it('hears of a deletion that arrives while the session is being read', async () => {
    await arrive(1, 2);
    const hold = rig.store.hold('answer');
    const refused = codeOf(rig.turn({ session: 's', turn: 3 }));
    await hold.entered;
    await rig.store.arrive(tombstone);
    hold.release();
    expect(await refused).toBe('session_deleted');
    expect(rig.llm.generations).toHaveLength(0);
  });

  it('is a replay when its own record arrives', async () => {
    const reply = rig.turn({ session: 's', turn: 3 });
    await waiting();
    await arrive(1, 3, 2);
    expect(await reply).toMatchObject({ turn: 3, replayed: true, contextId: records[2]?.hash });
    expect(rig.llm.generations).toHaveLength(0);
  });

  it('is told at once that the session was deleted', async () => {
    await arrive(1);
    const reply = codeOf(rig.turn({ session: 's', turn: 3 }));
    await waiting();
    await rig.store.arrive(tombstone);
    expect(await reply).toBe('session_deleted');
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('ends with its client, with a cancel, and with the deletion of the session here', async () => {
    await arrive(1);
    const leaver = new AbortController();
    const left = codeOf(rig.turn({ session: 's', turn: 3, gone: leaver.signal }));
    await waiting();
    leaver.abort();
    expect(await left).toBe('turn_cancelled');

    const cancelled = codeOf(rig.turn({ session: 's', turn: 3 }));
    await waiting();
    expect(await rig.manager.sessions.cancel('ada' as never, 's' as never)).toBe('stopped');
    expect(await cancelled).toBe('turn_cancelled');

    const deleted = codeOf(rig.turn({ session: 's', turn: 3 }));
    await waiting();
    await rig.manager.sessions.delete('ada' as never, 's' as never);
    expect(await deleted).toBe('session_deleted');
    expect(rig.environment.pendingTimers).toBe(0);
  });
});

describe('a predecessor that does not come', () => {
  it('strong: refused after max_wait_ms and not before, with when to ask again', async () => {
    await arrive(1);
    let settled = false;
    const refused = errorOf(rig.turn({ session: 's', turn: 5, maxWaitMs: 700 })).finally(() => {
      settled = true;
    });
    await rig.environment.advance(699);
    expect(settled).toBe(false);
    await rig.environment.advance(1);
    expect(await refused).toMatchObject({ code: 'context_stale', status: 503, retryAfterMs: expect.any(Number) });
    expect(rig.llm.generations).toHaveLength(0);
  });

  it('arrivals that do not help do not make the wait longer', async () => {
    const refused = codeOf(rig.turn({ session: 's', turn: 5, maxWaitMs: 300 }));
    await rig.environment.advance(200);
    await arrive(1);
    await rig.environment.advance(99);
    await arrive(2);
    await rig.environment.advance(1);
    expect(await refused).toBe('context_stale');
  });

  it('max_wait_ms 0 does not wait', async () => {
    expect(await codeOf(rig.turn({ session: 's', turn: 2, maxWaitMs: 0 }))).toBe('context_stale');
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('available: goes on with what is here, says so, and a retry is a replay', async () => {
    await arrive(1, 2);
    const ask = { session: 's', turn: 5, consistency: 'available' as const };
    const reply = rig.turn(ask);
    await waiting();
    await rig.environment.advance(1000);
    const stale = await reply;
    expect(stale).toMatchObject({ turn: 3, basedOnTurn: 2, waitedMs: 1000, replayed: false });
    expect(await rig.turn(ask)).toMatchObject({ contextId: stale.contextId, replayed: true });
    await arrive(3, 4, 5);
    expect(await rig.turn({ session: 's', turn: 6 })).toMatchObject({ turn: 6, basedOnTurn: 5 });
  });

  it('what was answered early is no answer under strong, which goes on from all turns before', async () => {
    await rig.turn({ session: 's', turn: 1 });
    const early = { session: 's', turn: 5, text: 'the same', maxWaitMs: 0 };
    expect(await rig.turn({ ...early, consistency: 'available' })).toMatchObject({ turn: 2, basedOnTurn: 1 });
    expect(await codeOf(rig.turn(early))).toBe('context_stale');
    await rig.turns('s', { from: 3, to: 4 });
    expect(await rig.turn(early)).toMatchObject({ turn: 5, basedOnTurn: 4, replayed: false });
    expect(await rig.turn(early)).toMatchObject({ turn: 5, basedOnTurn: 4, replayed: true });
  });

  it('available, with a context that is not here: goes on from the main line, no further than its turn', async () => {
    await arrive(1, 2, 3);
    const ask = { session: 's', turn: 3, text: 'mine', contextId: 'f'.repeat(32), consistency: 'available' as const };
    const reply = rig.turn(ask);
    await waiting();
    await rig.environment.advance(1000);
    const stale = await reply;
    expect(stale).toMatchObject({ turn: 3, basedOnTurn: 2, basedOnContext: records[1]?.hash, replayed: false });
    const again = rig.turn(ask);
    await rig.environment.advance(1000);
    expect(await again).toMatchObject({ contextId: stale.contextId, replayed: true });
    expect(rig.llm.generations).toHaveLength(1);
  });

  it('available, with nothing here at all: refused, because nothing is not a context', async () => {
    const refused = codeOf(rig.turn({ session: 's', turn: 2, consistency: 'available', maxWaitMs: 10 }));
    await rig.environment.advance(10);
    expect(await refused).toBe('context_stale');
  });

  it('damaged records are named as the reason', async () => {
    await arrive(1);
    rig.store.corrupt = 1;
    rig.restart();
    const refused = codeOf(rig.turn({ session: 's', turn: 3, maxWaitMs: 10 }));
    await rig.environment.advance(10);
    expect(await refused).toBe('context_corrupt');
  });

  it('on a node that is alone nobody waits', async () => {
    const alone = await contextManagerRig();
    expect(await codeOf(alone.turn({ session: 'nobody', turn: 2 }))).toBe('session_not_found');
    await alone.turn({ session: 's', turn: 1 });
    expect(await codeOf(alone.turn({ session: 's', turn: 4 }))).toBe('context_stale');
    expect(await alone.turn({ session: 's', turn: 4, consistency: 'available' })).toMatchObject({
      turn: 2,
      basedOnTurn: 1,
    });
    expect(alone.environment.pendingTimers).toBe(0);
  });

  it('a context that a node which is alone does not know is refused for good, and replaced only where that is accepted', async () => {
    const alone = await contextManagerRig();
    const [, second] = await alone.turns('s', { to: 2 });
    const ask = { session: 's', turn: 3, contextId: 'f'.repeat(32) };
    expect(await errorOf(alone.turn(ask))).toMatchObject({
      ...{ code: 'invalid_request', param: 'context_id', retry: false },
    });
    expect(await alone.turn({ ...ask, consistency: 'available' })).toMatchObject({ basedOnContext: second?.contextId });
  });
});

describe('turn and context_id', () => {
  it('that contradict each other are refused', async () => {
    await arrive(1, 2);
    const ask = { session: 's', contextId: records[0]?.hash };
    expect(await codeOf(rig.turn({ ...ask, turn: 3 }))).toBe('invalid_request');
    expect(await codeOf(rig.turn({ ...ask, turn: 1 }))).toBe('invalid_request');
    expect(await codeOf(rig.turn({ session: 's', turn: 1, contextId: 'f'.repeat(32) }))).toBe('invalid_request');
  });

  it('without a turn: the turn after the context, if it is known here', async () => {
    await arrive(1, 2);
    expect(await rig.turn({ session: 's', contextId: records[1]?.hash })).toMatchObject({ turn: 3, basedOnTurn: 2 });
    expect(await codeOf(rig.turn({ session: 's', contextId: 'f'.repeat(32) }))).toBe('invalid_request');
  });
});
