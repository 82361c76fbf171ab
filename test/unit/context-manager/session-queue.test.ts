// Crowds the session queue: order, its bound, clients that leave while they wait, many sessions at once, the bound of the
// whole node. Afterwards nobody may be left in it.
import { describe, expect, it } from 'vitest';
import { codeOf, contextManagerRig, errorOf, type Rig } from '../../support/context-manager-rig.ts';

async function expectEmpty(rig: Rig): Promise<void> {
  expect(await rig.metrics.metric('discedge_busy_sessions')).toBe(0);
  expect(await rig.metrics.metric('discedge_turns_in_flight')).toBe(0);
  expect(rig.environment.pendingTimers).toBe(0);
}

describe('one session', () => {
  it('takes turns in the order they were asked for', async () => {
    const rig = await contextManagerRig();
    const replies = await Promise.all(Array.from({ length: 10 }, (_, i) => rig.turn({ session: 's', turn: i + 1 })));
    expect(replies.map(({ turn }) => turn)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    await expectEmpty(rig);
  });

  it('never has two turns at the LLM Service', async () => {
    const rig = await contextManagerRig();
    const hold = rig.llm.hold();
    const calls = [rig.turn({ session: 's', turn: 1 }), rig.turn({ session: 's', turn: 2 })];
    await hold.entered;
    await rig.settled();
    expect(rig.llm.generations).toHaveLength(1);
    hold.release();
    await Promise.all(calls);
    expect(rig.llm.generations).toHaveLength(2);
  });

  it('refuses more than may wait, at once, and serves the others', async () => {
    const rig = await contextManagerRig({ options: { sessionQueueMax: 3 } });
    const hold = rig.llm.hold();
    const served = Array.from({ length: 4 }, () => rig.turn({ session: 's', turn: 1 }));
    const error = await errorOf(rig.turn({ session: 's', turn: 1 }));
    expect(error).toMatchObject({ code: 'session_busy', retry: true, retryAfterMs: expect.any(Number) });
    hold.release();
    expect(await Promise.all(served)).toHaveLength(4);
    await expectEmpty(rig);
  });

  it('goes on after a turn that failed', async () => {
    const rig = await contextManagerRig();
    rig.llm.failNext('at once');
    const failed = codeOf(rig.turn({ session: 's', turn: 1 }));
    const next = rig.turn({ session: 's', turn: 1, text: 'another' });
    expect(await failed).toBe('llm_unavailable');
    expect(await next).toMatchObject({ turn: 1, replayed: false });
    await expectEmpty(rig);
  });

  it('a client that leaves the line frees its place, and nothing is done for it', async () => {
    const rig = await contextManagerRig({ options: { sessionQueueMax: 2 } });
    const hold = rig.llm.hold();
    const running = rig.turn({ session: 's', turn: 1 });
    const leaver = new AbortController();
    const left = codeOf(rig.turn({ session: 's', turn: 1, text: 'never', gone: leaver.signal }));
    const waiting = rig.turn({ session: 's', turn: 2 });
    await hold.entered;
    expect(await codeOf(rig.turn({ session: 's', turn: 3 }))).toBe('session_busy');
    leaver.abort(new Error('socket closed'));
    expect(await left).toBe('turn_cancelled');
    const inItsPlace = rig.turn({ session: 's', turn: 3 });
    hold.release();
    expect((await Promise.all([running, waiting, inItsPlace])).map(({ turn }) => turn)).toEqual([1, 2, 3]);
    await expectEmpty(rig);
  });

  it('one that waited and is stopped when it runs leaves the next in line alone', async () => {
    const rig = await contextManagerRig({ options: { finishAbandonedMs: 1000 } });
    const holds = [rig.llm.hold(), rig.llm.hold()];
    const leaver = new AbortController();
    const first = rig.turn({ session: 's', turn: 1 });
    const waited = codeOf(rig.turn({ session: 's', turn: 2, gone: leaver.signal }));
    const last = rig.turn({ session: 's', turn: 2, text: 'last' });
    holds[0]?.release();
    await first;
    await holds[1]?.entered;
    leaver.abort();
    await rig.environment.advance(1000);
    expect(await waited).toBe('turn_cancelled');
    expect(await last).toMatchObject({ turn: 2 });
    await expectEmpty(rig);
  });

  it('a client that had left before it came is not served, and does not wait to be told', async () => {
    const rig = await contextManagerRig();
    const hold = rig.llm.hold();
    const running = rig.turn({ session: 's', turn: 1 });
    await hold.entered;
    expect(await codeOf(rig.turn({ session: 's', turn: 2, gone: AbortSignal.abort() }))).toBe('turn_cancelled');
    hold.release();
    await running;
    rig.llm.generations.length = 0;
    expect(await codeOf(rig.turn({ session: 's', turn: 1, gone: AbortSignal.abort() }))).toBe('turn_cancelled');
    expect(rig.llm.generations).toHaveLength(0);
    await expectEmpty(rig);
  });
});

describe('many sessions', () => {
  it('do not wait for each other', async () => {
    const rig = await contextManagerRig();
    const hold = rig.llm.hold();
    const slow = rig.turn({ session: 'slow', turn: 1 });
    await hold.entered;
    expect(await rig.turn({ session: 'fast', turn: 1 })).toMatchObject({ turn: 1 });
    expect(await rig.turn({ session: 'slow', user: 'bob', turn: 1 })).toMatchObject({ turn: 1 });
    hold.release();
    await slow;
    await expectEmpty(rig);
  });

  it('together have no more turns in flight than the node allows, waiting ones and client-side ones included', async () => {
    const rig = await contextManagerRig({ options: { turnsInFlightMax: 3 } });
    const holds = [rig.llm.hold(), rig.llm.hold()];
    const calls = [
      rig.turn({ session: 'a', turn: 1 }),
      rig.turn({ session: 'a', turn: 1 }),
      rig.forward({ prompt: ['x'] }),
    ];
    await Promise.all(holds.map(({ entered }) => entered));
    expect(await rig.metrics.metric('discedge_turns_in_flight')).toBe(3);
    expect(await errorOf(rig.turn({ session: 'b', turn: 1 }))).toMatchObject({ code: 'overloaded', retry: true });
    expect(await codeOf(rig.forward({ prompt: ['x'] }))).toBe('overloaded');
    for (const hold of holds) hold.release();
    await Promise.all(calls);
    expect(await rig.turn({ session: 'b', turn: 1 })).toMatchObject({ turn: 1 });
    await expectEmpty(rig);
  });
});
