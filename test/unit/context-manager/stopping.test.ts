// Stops turns at every point of their life: cancelled by their owner, left by their client, with a session that is deleted elsewhere, cut
// off by a node that closes.
// A turn that was told to be cancelled must not be stored; a client that left must find its reply when it comes back; a
// node that closes must neither hang nor throw away what could still be finished.
import { beforeEach, describe, expect, it } from 'vitest';
import { STOPPED_TURN_MS } from '../../../src/context-manager/turn/running-turns.ts';
import type { SealedRecord } from '../../../src/domain/record/record-codec.ts';
import { codeOf, contextManagerRig, type Rig, replicaRig } from '../../support/context-manager-rig.ts';
import { Hold } from '../../support/hold.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await contextManagerRig({ options: { finishAbandonedMs: 5000 } });
});

const cancel = async (session: string, user = 'ada') =>
  (await rig.manager.sessions.cancel(user as never, session as never)) === 'stopped';

const STOPPABLE: Array<[string, () => Hold]> = [
  ['while the session is read', () => rig.store.hold('read')],
  ['before the first part', () => rig.llm.hold()],
  ['after the last part', () => rig.llm.holdEnd()],
];

describe('cancel', () => {
  it.each(STOPPABLE)('%s: the turn is not stored and can be sent again', async (_name, holdAt) => {
    const hold = holdAt();
    const cancelled = codeOf(rig.turn({ session: 's', turn: 1 }));
    await hold.entered;
    const stopped = cancel('s');
    hold.release();
    expect(await stopped).toBe(true);
    expect(await cancelled).toBe('turn_cancelled');
    await rig.settled();
    expect(rig.store.appended).toHaveLength(0);
    expect(await rig.turn({ session: 's', turn: 1 })).toMatchObject({ turn: 1, replayed: false });
  });

  it('while the text of the reply is looked up: not stored', async () => {
    const hold = rig.llm.holdEnd();
    const cancelled = codeOf(rig.turn({ session: 's', turn: 1 }));
    await hold.entered;
    const { detokenize } = rig.llm;
    rig.llm.detokenize = async (ids) => {
      expect(await cancel('s')).toBe(true);
      return detokenize.call(rig.llm, ids);
    };
    hold.release();
    expect(await cancelled).toBe('turn_cancelled');
    expect(rig.store.appended).toHaveLength(0);
  });

  it.each(['append', 'appended'] as const)('too late, in %s: says so, and the turn is answered', async (where) => {
    const hold = rig.store.hold(where);
    const reply = rig.turn({ session: 's', turn: 1 });
    await hold.entered;
    expect(await cancel('s')).toBe(false);
    hold.release();
    expect(await reply).toMatchObject({ turn: 1 });
    expect(rig.records('s')).toHaveLength(1);
  });

  it.each(['append', 'appended'] as const)(
    'while a turn is in %s and its repetition waits: neither is told that nothing was stored',
    async (where) => {
      const hold = rig.store.hold(where);
      const replies = [1, 1].map((turn) => rig.turn({ session: 's', turn }));
      const next = codeOf(rig.turn({ session: 's', turn: 2 }));
      await hold.entered;
      expect(await cancel('s')).toBe(false);
      hold.release();
      const [first, again] = await Promise.all(replies);
      expect(first).toMatchObject({ turn: 1, replayed: false });
      expect(again).toMatchObject({ turn: 1, replayed: true, contextId: first?.contextId });
      expect(await next).toBe('turn_cancelled');
    },
  );

  it.each(['read', 'detokenize'])('of a replay, in %s: says that it was not cancelled', async (where) => {
    const { contextId } = await rig.turn({ session: 's', turn: 1 });
    rig.restart();
    const hold = where === 'read' ? rig.store.hold('read') : new Hold();
    const { detokenize } = rig.llm;
    if (where !== 'read') {
      rig.llm.detokenize = async (ids) => {
        await hold.pass();
        return detokenize.call(rig.llm, ids);
      };
    }
    const replay = rig.turn({ session: 's', turn: 1 });
    await hold.entered;
    const stopped = cancel('s');
    hold.release();
    expect(await stopped).toBe(false);
    expect(await replay).toMatchObject({ contextId, replayed: true });
  });

  it('does not wait without end to find out about a turn that hangs', async () => {
    const hold = rig.store.hold('read');
    const cancelled = codeOf(rig.turn({ session: 's', turn: 1 }));
    await hold.entered;
    const stopped = cancel('s');
    await rig.environment.advance(STOPPED_TURN_MS);
    expect(await stopped).toBe(false);
    hold.release();
    expect(await cancelled).toBe('turn_cancelled');
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('stops what waits behind the turn too, and nothing of anyone else', async () => {
    const holds = [rig.llm.hold(), rig.llm.hold(), rig.llm.hold()];
    const cancelled = [1, 1, 2].map((turn) => codeOf(rig.turn({ session: 's', turn })));
    const others = [rig.turn({ session: 's', turn: 1, user: 'bob' }), rig.turn({ session: 't', turn: 1 })];
    await Promise.all(holds.map(({ entered }) => entered));
    expect(await cancel('s', 'eve')).toBe(false);
    expect(await cancel('nothing')).toBe(false);
    expect(await cancel('s')).toBe(true);
    expect(await Promise.all(cancelled)).toEqual(['turn_cancelled', 'turn_cancelled', 'turn_cancelled']);
    for (const hold of holds) hold.release();
    expect(await Promise.all(others)).toHaveLength(2);
    expect(await cancel('s')).toBe(false);
    expect(await rig.turn({ session: 's', turn: 1 })).toMatchObject({ turn: 1 });
  });
});

describe('a client that leaves', () => {
  it('before its turn has begun: nothing is done for it', async () => {
    const leaver = new AbortController();
    const hold = rig.store.hold('read');
    const left = codeOf(rig.turn({ session: 's', turn: 1, gone: leaver.signal }));
    await hold.entered;
    leaver.abort();
    hold.release();
    expect(await left).toBe('turn_cancelled');
    expect(rig.llm.generations).toHaveLength(0);
  });

  it.each(STOPPABLE.slice(1))(
    '%s: its turn is finished and stored, and its retry is a replay',
    async (_name, holdAt) => {
      const leaver = new AbortController();
      const hold = holdAt();
      const parts: string[] = [];
      const onPart = (text: string) => void parts.push(text);
      const reply = rig.turn({ session: 's', turn: 1, gone: leaver.signal, onPart });
      await hold.entered;
      leaver.abort();
      const seen = parts.length;
      const retry = rig.turn({ session: 's', turn: 1 });
      await rig.environment.advance(4999);
      hold.release();
      expect(await reply).toMatchObject({ turn: 1, replayed: false });
      expect(await retry).toMatchObject({ turn: 1, replayed: true, contextId: (await reply).contextId });
      expect(parts).toHaveLength(seen);
      expect(rig.environment.pendingTimers).toBe(0);
    },
  );

  it('does not keep the LLM Service for ever', async () => {
    const leaver = new AbortController();
    const hold = rig.llm.hold();
    const left = codeOf(rig.turn({ session: 's', turn: 1, gone: leaver.signal }));
    await hold.entered;
    leaver.abort();
    await rig.environment.advance(5000);
    expect(await left).toBe('turn_cancelled');
    expect(rig.store.appended).toHaveLength(0);
    expect(await rig.turn({ session: 's', turn: 1 })).toMatchObject({ replayed: false });
  });

  it('while its turn is being stored: the turn is stored, however long that takes', async () => {
    const leaver = new AbortController();
    const hold = rig.store.hold('append');
    const reply = rig.turn({ session: 's', turn: 1, gone: leaver.signal });
    await hold.entered;
    leaver.abort();
    await rig.environment.advance(60_000);
    hold.release();
    expect(await reply).toMatchObject({ turn: 1 });
  });

  it('from a client-side turn: stops it at once, nobody can come back for it', async () => {
    const leaver = new AbortController();
    const hold = rig.llm.hold();
    const left = codeOf(rig.forward({ prompt: ['x'], gone: leaver.signal }));
    await hold.entered;
    leaver.abort();
    expect(await left).toBe('turn_cancelled');
    expect(rig.llm.generations[0]?.error).toMatchObject({ code: 'turn_cancelled' });
  });

  it('leaves no listener behind', async () => {
    const leaver = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = leaver.signal;
    leaver.signal.addEventListener = (...args: [never, never]) => {
      listeners++;
      addEventListener.apply(leaver.signal, args);
    };
    leaver.signal.removeEventListener = (...args: [never, never]) => {
      listeners--;
      removeEventListener.apply(leaver.signal, args);
    };
    await rig.turns('s', { to: 3, gone: leaver.signal });
    rig.llm.failNext('midway');
    await codeOf(rig.turn({ session: 's', turn: 4, gone: leaver.signal }));
    expect(listeners).toBe(0);
  });
});

describe('a session that is deleted at another node', () => {
  it('has its turns stopped here, and none that waits for the LLM Service comes to it', async () => {
    await rig.turn({ session: 's', turn: 1 });
    await rig.manager.sessions.delete('ada' as never, 's' as never);
    const [first, tombstone] = rig.store.appended as [SealedRecord, SealedRecord];
    const here = await replicaRig({ scripted: { parallel: 1 } });
    await here.store.arrive(first);
    const holds = [here.llm.hold(), here.llm.hold()] as const;
    const other = here.turn({ session: 'other', turn: 1 });
    await holds[0].entered;
    const refused = [2, 3].map((turn) => codeOf(here.turn({ session: 's', turn })));
    await here.settled();
    await here.store.arrive(tombstone);
    expect(await Promise.all(refused)).toEqual(['session_deleted', 'session_deleted']);
    holds[0].release();
    expect(await other).toMatchObject({ turn: 1 });
    expect(here.llm.generations).toHaveLength(1);
    expect(here.environment.pendingTimers).toBe(0);
  });
});

describe('a node that closes', () => {
  it('with nothing to do: closes at once, twice if need be, and then takes nothing', async () => {
    await Promise.all([rig.node.close(1000), rig.node.close(1000)]);
    expect(rig.node.closing).toBe(true);
    expect(await codeOf(rig.turn({ session: 's', turn: 1 }))).toBe('shutting_down');
    expect(await codeOf(rig.forward({ prompt: ['x'] }))).toBe('shutting_down');
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('refuses new turns and waits for those under way, waiting ones included', async () => {
    const hold = rig.llm.hold();
    const replies = [rig.turn({ session: 's', turn: 1 }), rig.turn({ session: 's', turn: 2 })];
    await hold.entered;
    let closed = 0;
    const closing = [rig.node.close(1000), rig.node.close(1000)].map((call) => call.then(() => closed++));
    expect(await codeOf(rig.turn({ session: 's', turn: 3 }))).toBe('shutting_down');
    await rig.environment.advance(999);
    expect(closed).toBe(0);
    hold.release();
    expect((await Promise.all(replies)).map(({ turn }) => turn)).toEqual([1, 2]);
    await Promise.all(closing);
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('stops what is still there after the grace, in the queue too, and is done then', async () => {
    const hold = rig.llm.hold();
    const stopped = [1, 2, 3].map((turn) => codeOf(rig.turn({ session: 's', turn })));
    const elsewhere = rig.llm.hold();
    stopped.push(codeOf(rig.forward({ prompt: ['x'] })));
    await Promise.all([hold.entered, elsewhere.entered]);
    const closing = rig.node.close(1000);
    await rig.environment.advance(1000);
    expect(await Promise.all(stopped)).toEqual(stopped.map(() => 'shutting_down'));
    await closing;
    expect(rig.llm.generations).toHaveLength(2);
    expect(rig.store.appended).toHaveLength(0);
  });

  it('its turn gate hears of other nodes until its last turn has ended, and no longer', async () => {
    const replica = await replicaRig();
    const hold = replica.llm.hold();
    const reply = replica.turn({ session: 's', turn: 1 });
    await hold.entered;
    const closing = replica.node.close(1000);
    const watchers = replica.store.watchers;
    hold.release();
    await reply;
    await closing;
    // With it go the two listeners of erasures.
    expect(replica.store.watchers).toBe(watchers - 3);
  });

  it('does not cut off a turn that is being stored', async () => {
    const hold = rig.store.hold('append');
    const reply = rig.turn({ session: 's', turn: 1 });
    await hold.entered;
    const closing = rig.node.close(1000);
    await rig.environment.advance(2000);
    hold.release();
    expect(await reply).toMatchObject({ turn: 1 });
    await closing;
  });
});
