// Lets sessions expire: after their last turn, under times to live of their own, before they are swept, in the middle of a
// turn, and after the wall clock jumped. An expired session must be as good as never opened; a living one must be whole,
// also where it is shared with nodes whose clocks differ and whose records are under way.
import { describe, expect, it } from 'vitest';
import { codeOf, contextManagerRig, type Rig, replicaRig } from '../../support/context-manager-rig.ts';

const SECOND = 1000;
const show = (rig: Rig) => rig.manager.sessions.show('ada' as never, 's' as never);

describe('time to live', () => {
  it('begins anew with every turn', async () => {
    const rig = await contextManagerRig({ options: { ttlSeconds: 10 } });
    for (let turn = 1; turn <= 5; turn++) {
      expect(await rig.turn({ session: 's', turn })).toMatchObject({ turn });
      expect((await show(rig)).expiresAtMs).toBe(rig.environment.clock.now() + 10 * SECOND);
      await rig.environment.advance(9 * SECOND);
    }
    await rig.environment.advance(1 * SECOND);
    expect(await codeOf(show(rig))).toBe('session_not_found');
  });

  it('ends with the age that a session may have, however often it is used, and one of its id begins another', async () => {
    const rig = await contextManagerRig({ options: { ttlSeconds: 10, sessionAgeSecondsMax: 25 } });
    const openedAtMs = rig.environment.clock.now();
    for (let turn = 1; turn <= 4; turn++) {
      await rig.turn({ session: 's', turn, ...(turn === 2 && { ttlSeconds: 10_000 }) });
      const idleUntilMs = openedAtMs + ((turn - 1) * 8 + (turn === 1 ? 10 : 10_000)) * SECOND;
      expect((await show(rig)).expiresAtMs).toBe(Math.min(idleUntilMs, openedAtMs + 25 * SECOND));
      await rig.environment.advance(turn === 4 ? SECOND - 1 : 8 * SECOND);
    }
    expect((await show(rig)).turns).toHaveLength(4);
    await rig.environment.advance(1);
    expect(await codeOf(rig.turn({ session: 's', turn: 5 }))).toBe('session_not_found');
    expect(await rig.turn({ session: 's', turn: 1 })).toMatchObject({ turn: 1, replayed: false });
    expect((await show(rig)).expiresAtMs).toBe(rig.environment.clock.now() + 10 * SECOND);
  });

  it.each([false, true])(
    'over, restarted %s: no such session, and turn 1 opens it with nothing of the old one',
    async (restarted) => {
      const rig = await contextManagerRig({ options: { ttlSeconds: 10 } });
      await rig.turns('s', { to: 3, text: 'old words' });
      await rig.environment.advance(10 * SECOND);
      if (restarted) rig.restart();
      expect(await codeOf(show(rig))).toBe('session_not_found');
      expect(await codeOf(rig.turn({ session: 's', turn: 4 }))).toBe('session_not_found');
      expect(await codeOf(rig.turn({ session: 's', turn: 4, consistency: 'available' }))).toBe('session_not_found');
      expect(await rig.turn({ session: 's', turn: 1, text: 'old words' })).toMatchObject({ turn: 1, replayed: false });
      expect(await rig.turn({ session: 's', turn: 2 })).toMatchObject({ turn: 2, basedOnTurn: 1 });
      rig.restart();
      expect((await show(rig)).turns).toHaveLength(2);
    },
  );

  it('lasts until the last millisecond, and not in it', async () => {
    const rig = await contextManagerRig({ options: { ttlSeconds: 10 } });
    await rig.turn({ session: 's', turn: 1 });
    await rig.environment.advance(10 * SECOND - 1);
    expect((await show(rig)).turns).toHaveLength(1);
    await rig.environment.advance(1);
    expect(await codeOf(show(rig))).toBe('session_not_found');
  });

  it('is kept by a session that was given one, and the longest of its turns counts', async () => {
    const rig = await contextManagerRig({ options: { ttlSeconds: 10 } });
    await rig.turn({ session: 's', turn: 1, ttlSeconds: 100 });
    await rig.environment.advance(60 * SECOND);
    await rig.turn({ session: 's', turn: 2 });
    await rig.environment.advance(99 * SECOND);
    expect(await rig.turn({ session: 's', turn: 3, ttlSeconds: 5 })).toMatchObject({ turn: 3 });
    await rig.environment.advance(5 * SECOND);
    expect(await codeOf(show(rig))).toBe('session_not_found');
  });

  it("is the user's where that has one, in sessions old and new, and a request's goes before it", async () => {
    const rig = await contextManagerRig({ options: { ttlSeconds: 10, ttlSecondsMax: 1000 } });
    const lives = async (session: string, turn: number, ask = {}) => {
      await rig.turn({ session, turn, ...ask });
      const { record } = rig.records(session)[turn - 1] as ReturnType<typeof rig.records>[0];
      return (record.expiresAtMs - record.writtenAtMs) / SECOND;
    };
    expect(await lives('old', 1)).toBe(10);
    await rig.node.userLifetimes.put('ada' as never, 100);
    expect(await lives('old', 2)).toBe(100);
    expect(await lives('new', 1)).toBe(100);
    expect(await lives('new', 2, { ttlSeconds: 20 })).toBe(20);
    expect(await lives('of bob', 1, { user: 'bob' })).toBe(10);
    rig.restart();
    await rig.node.userLifetimes.start();
    expect(await lives('new', 3)).toBe(100);
    await rig.node.userLifetimes.put('ada' as never, 5_000);
    expect(await lives('new', 4)).toBe(1000);
    await rig.node.userLifetimes.put('ada' as never, undefined);
    expect(await lives('new', 5)).toBe(1000);
    expect(await lives('newer', 1)).toBe(10);
  });

  it("of a user is kept for as long as that has turns, and goes with the user's erasure", async () => {
    const rig = await contextManagerRig({ options: { ttlSeconds: 10, ttlSecondsMax: 1000 } });
    const { userLifetimes, documents, erasures } = rig.node;
    await userLifetimes.put('ada' as never, 100);
    const endsMs = async () => (await documents.find('user-lifetime', 'ada'))?.expiresAtMs;
    const firstEndMs = await endsMs();
    await rig.environment.advance(600 * SECOND);
    await rig.turn({ session: 's', turn: 1 });
    await rig.settled();
    expect(await endsMs()).toBe((firstEndMs as number) + 600 * SECOND);
    await erasures.erase('ada' as never, { waitMs: 0, signal: new AbortController().signal });
    await rig.settled();
    expect(userLifetimes.ttlMs('ada' as never)).toBeUndefined();
    expect(await userLifetimes.get('ada' as never)).toBeUndefined();
  });

  it('does not get shorter by a turn with a shorter one', async () => {
    const rig = await contextManagerRig();
    await rig.turn({ session: 's', turn: 1, ttlSeconds: 100 });
    await rig.turn({ session: 's', turn: 2, ttlSeconds: 1 });
    await rig.environment.advance(99 * SECOND);
    expect((await show(rig)).turns).toHaveLength(2);
  });

  it('is at most what the node allows', async () => {
    const rig = await contextManagerRig({ options: { ttlSecondsMax: 50 } });
    await rig.turn({ session: 's', turn: 1, ttlSeconds: 1_000_000 });
    expect((await show(rig)).expiresAtMs).toBe(rig.environment.clock.now() + 50 * SECOND);
  });

  it('is not made longer by a replay', async () => {
    const rig = await contextManagerRig({ options: { ttlSeconds: 10 } });
    await rig.turn({ session: 's', turn: 1 });
    await rig.environment.advance(9 * SECOND);
    expect(await rig.turn({ session: 's', turn: 1 })).toMatchObject({ replayed: true });
    await rig.environment.advance(1 * SECOND);
    expect(await codeOf(show(rig))).toBe('session_not_found');
  });

  it('over while a turn is being answered: the turn is not stored beside a context that is gone', async () => {
    const rig = await contextManagerRig({ options: { ttlSeconds: 10 } });
    await rig.turn({ session: 's', turn: 1 });
    const hold = rig.llm.hold();
    const late = codeOf(rig.turn({ session: 's', turn: 2 }));
    await hold.entered;
    await rig.environment.advance(10 * SECOND);
    await rig.store.expire(rig.environment.clock.now());
    hold.release();
    expect(await late).toBe('session_not_found');
    expect(await rig.store.status()).toMatchObject({ sessions: 0, records: 0 });
    expect(await rig.turn({ session: 's', turn: 1 })).toMatchObject({ replayed: false });
  });

  it('of a first turn begins when it is stored, however long it took', async () => {
    const rig = await contextManagerRig({ options: { ttlSeconds: 10 } });
    const hold = rig.llm.hold();
    const slow = rig.turn({ session: 's', turn: 1 });
    await hold.entered;
    await rig.environment.advance(60 * SECOND);
    hold.release();
    await slow;
    expect(await rig.turn({ session: 's', turn: 2 })).toMatchObject({ turn: 2 });
  });

  it('goes on while the machine sleeps', async () => {
    const rig = await contextManagerRig({ options: { ttlSeconds: 10 } });
    await rig.turn({ session: 's', turn: 1 });
    rig.environment.sleep(10 * SECOND);
    expect(await codeOf(show(rig))).toBe('session_not_found');
  });

  it('over for thousands of sessions: whoever asks for one of them has that one removed, and waits for no other', async () => {
    const rig = await contextManagerRig({ options: { ttlSeconds: 10 } });
    for (let session = 0; session < 300; session++) await rig.turn({ session: `s${session}`, turn: 1 });
    await rig.environment.advance(10 * SECOND);
    expect(await rig.turn({ session: 's0', turn: 1 })).toMatchObject({ replayed: false });
    expect(await rig.store.status()).toMatchObject({ sessions: 300, records: 300 });
  });

  it('of other sessions goes on when one is found expired', async () => {
    const rig = await contextManagerRig();
    await rig.turn({ session: 's', turn: 1, ttlSeconds: 1 });
    await rig.turn({ session: 't', turn: 1, ttlSeconds: 100 });
    await rig.environment.advance(50 * SECOND);
    expect(await codeOf(show(rig))).toBe('session_not_found');
    expect(await rig.turn({ session: 't', turn: 2 })).toMatchObject({ turn: 2 });
  });
});

describe('on a node that shares its sessions', () => {
  const MINUTE = 60 * SECOND;
  /** A session of two turns of ten minutes, written at another node, of which the first has arrived here. */
  async function nodes() {
    const elsewhere = await contextManagerRig({ options: { nodeId: 'node-2' as never, ttlSeconds: 600 } });
    const here = await replicaRig({ options: { ttlSeconds: 600 } });
    await elsewhere.turn({ session: 's', turn: 1, text: 'old words' });
    await here.store.arrive(elsewhere.records('s')[0] as never);
    return { elsewhere, here };
  }
  const sweep = (rig: Rig) => rig.node.records.removeExpired();
  const listed = async (rig: Rig) =>
    (await rig.manager.sessions.list({ userId: 'ada' as never, after: undefined, limit: 10 })).sessions.length;

  it('a clock that is minutes ahead ends no session', async () => {
    const { here } = await nodes();
    here.environment.sleep(20 * MINUTE - 1);
    expect(await listed(here)).toBe(1);
    expect((await show(here)).turns).toHaveLength(1);
    expect(await here.turn({ session: 's', turn: 2 })).toMatchObject({ basedOnTurn: 1 });
  });

  it('over here, prolonged elsewhere in the last moment: whole again when that turn arrives', async () => {
    const { elsewhere, here } = await nodes();
    await elsewhere.environment.advance(10 * MINUTE - 1);
    await elsewhere.turn({ session: 's', turn: 2 });
    here.environment.sleep(20 * MINUTE);
    await sweep(here);
    expect(await codeOf(show(here))).toBe('session_not_found');
    expect(await listed(here)).toBe(0);
    const reply = here.turn({ session: 's', turn: 3 });
    await here.settled();
    await here.store.arrive(elsewhere.records('s')[1] as never);
    expect(await reply).toMatchObject({ turn: 3, basedOnTurn: 2 });
    expect((await show(here)).turns).toHaveLength(3);
    here.restart();
    expect((await show(here)).turns).toHaveLength(3);
  });

  it.each([false, true])('over, restarted %s: turn 1 opens it with nothing of the old one', async (restarted) => {
    const { elsewhere, here } = await nodes();
    await elsewhere.turns('s', { from: 2, to: 4, text: 'old words' });
    for (const sealed of elsewhere.records('s').slice(1)) await here.store.arrive(sealed);
    here.environment.sleep(20 * MINUTE);
    if (restarted) here.restart();
    expect(await here.turn({ session: 's', turn: 1, text: 'old words' })).toMatchObject({ replayed: false });
    expect(await here.turn({ session: 's', turn: 2 })).toMatchObject({ basedOnTurn: 1 });
    expect((await show(here)).turns).toHaveLength(2);
    here.restart();
    expect((await show(here)).turns).toHaveLength(2);
    expect(await codeOf(here.turn({ session: 's', turn: 2, text: 'other' }))).toBe('turn_conflict');
  });

  it('is gone in the end', async () => {
    const { here } = await nodes();
    here.environment.sleep(30 * MINUTE - 1);
    await sweep(here);
    expect(await here.store.status()).toMatchObject({ sessions: 1 });
    here.environment.sleep(1);
    await sweep(here);
    expect(await here.store.status()).toMatchObject({ sessions: 0, records: 0 });
  });

  it('over while a turn is being answered: the turn is not stored', async () => {
    const { here } = await nodes();
    const hold = here.llm.hold();
    const late = codeOf(here.turn({ session: 's', turn: 2 }));
    await hold.entered;
    here.environment.sleep(20 * MINUTE);
    hold.release();
    expect(await late).toBe('session_not_found');
  });
});

describe('a tombstone', () => {
  it('outlives every record that may still be under way, and then the id is free again', async () => {
    const rig = await contextManagerRig({ options: { ttlSecondsMax: 1000 } });
    const sweep = () => rig.store.expire(rig.environment.clock.now());
    await rig.turn({ session: 's', turn: 1, ttlSeconds: 10 });
    await rig.manager.sessions.delete('ada' as never, 's' as never);
    await rig.environment.advance((1000 + 24 * 3600) * SECOND - 1);
    await sweep();
    expect(await codeOf(rig.turn({ session: 's', turn: 1 }))).toBe('session_deleted');
    await rig.environment.advance(1);
    await sweep();
    expect(await rig.turn({ session: 's', turn: 1 })).toMatchObject({ turn: 1, replayed: false });
  });
});
