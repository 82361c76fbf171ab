// A session that this node does not hold, or not all of, while peers do: tries to have it refused, taken for a new one, shown
// in part, asked for needlessly, or waited for beyond what the request allows. The clock moves only when told.
import { beforeEach, describe, expect, it } from 'vitest';
import type { SealedRecord } from '../../../src/domain/record/record-codec.ts';
import { codeOf, contextManagerRig, fetchingRig, type Rig } from '../../support/context-manager-rig.ts';
import type { ProbedFetchingStore } from '../../support/probed-store.ts';

let records: SealedRecord[];
let tombstone: SealedRecord;
let rig: Rig<ProbedFetchingStore>;

beforeEach(async () => {
  const elsewhere = await contextManagerRig({ options: { nodeId: 'node-2' as never } });
  await elsewhere.turns('s', { to: 5 });
  records = elsewhere.records('s');
  await elsewhere.manager.sessions.delete('ada' as never, 's' as never);
  tombstone = elsewhere.store.appended.at(-1) as SealedRecord;
  rig = await fetchingRig();
  rig.store.elsewhere.push(...records);
});

const show = (seen = {}) => rig.manager.sessions.show('ada' as never, 's' as never, seen);
const remove = (seen = {}) => rig.manager.sessions.delete('ada' as never, 's' as never, seen);
const fork = (turn: number) =>
  rig.manager.fork(
    {
      userId: 'ada' as never,
      sessionId: 's' as never,
      turn: turn as never,
      contextId: undefined,
      newSessionId: 'fork' as never,
      ttlSeconds: undefined,
      maxWaitMs: 1000,
    },
    new AbortController().signal,
  );
/** Runs what waits for the head start of an arrival, and no more of the clock. */
async function afterHeadStart<T>(work: Promise<T>): Promise<T> {
  await rig.settled();
  await rig.environment.advance(100);
  return work;
}

describe('what peers hold can be used here', () => {
  it('the next turn', async () => {
    const reply = await afterHeadStart(rig.turn({ session: 's', turn: 6 }));
    expect(reply).toMatchObject({ turn: 6, basedOnTurn: 5, replayed: false, waitedMs: 100 });
    expect(rig.store.fetches).toHaveLength(1);
    expect(rig.environment.pendingTimers).toBe(0);
    await rig.turn({ session: 's', turn: 7 });
    expect(rig.store.fetches).toHaveLength(1);
  });

  it('the next turn of the line that a context_id names, without its number', async () => {
    const reply = await rig.turn({ session: 's', contextId: records[4]?.hash });
    expect(reply).toMatchObject({ turn: 6, waitedMs: 0 });
  });

  it('a turn that was answered', async () => {
    const reply = await afterHeadStart(rig.turn({ session: 's', turn: 4 }));
    expect(reply).toMatchObject({ turn: 4, replayed: true, contextId: records[3]?.hash });
    expect(rig.llm.generations).toHaveLength(0);
  });

  it('shown, at once and whole', async () => {
    expect((await show()).turns).toHaveLength(5);
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('a session of which this node holds an end only', async () => {
    await rig.store.arrive(records[4] as SealedRecord);
    expect((await show()).turns).toHaveLength(5);
    rig.restart();
    expect(await rig.turn({ session: 's', turn: 6 })).toMatchObject({ basedOnTurn: 5 });
  });

  it('deleted, which stays so', async () => {
    await remove();
    expect(await codeOf(rig.turn({ session: 's', turn: 6 }))).toBe('session_deleted');
  });

  it('forked', async () => {
    expect(await afterHeadStart(fork(3))).toMatchObject({ turn: 3 });
  });
});

describe('peers are not asked', () => {
  it('for what is here', async () => {
    for (const sealed of records) await rig.store.arrive(sealed);
    await rig.turn({ session: 's', turn: 6 });
    await show();
    await show({ turn: 6 });
    await rig.turn({ session: 'another', turn: 1 });
    await remove();
    expect(rig.store.fetches).toEqual([]);
  });

  it('for what arrives by itself meanwhile', async () => {
    await rig.store.arrive(records[0] as SealedRecord);
    const reply = rig.turn({ session: 's', turn: 3 });
    await rig.settled();
    await rig.environment.advance(99);
    await rig.store.arrive(records[1] as SealedRecord);
    expect(await reply).toMatchObject({ basedOnTurn: 2, waitedMs: 99 });
    await rig.environment.advance(1000);
    expect(rig.store.fetches).toEqual([]);
  });

  it('more than once by one request', async () => {
    const refused = codeOf(rig.turn({ session: 's', turn: 9 }));
    await rig.settled();
    await rig.environment.advance(1000);
    expect(await refused).toBe('context_stale');
    expect(rig.store.fetches).toHaveLength(1);
  });
});

describe('peers that are slow', () => {
  it('hold a turn up no longer than it may wait, and the next try finds what they brought', async () => {
    const hold = rig.store.holdFetch();
    const refused = codeOf(rig.turn({ session: 's', turn: 6, maxWaitMs: 300 }));
    await afterHeadStart(hold.entered);
    await rig.environment.advance(200);
    expect(await refused).toBe('context_stale');
    hold.release();
    await rig.settled();
    expect(await rig.turn({ session: 's', turn: 6 })).toMatchObject({ basedOnTurn: 5, waitedMs: 0 });
  });

  it('are asked for a turn that may not wait at all, for its next try', async () => {
    expect(await codeOf(rig.turn({ session: 's', turn: 6, maxWaitMs: 0 }))).toBe('context_stale');
    await rig.settled();
    expect(await rig.turn({ session: 's', turn: 6, maxWaitMs: 0 })).toMatchObject({ basedOnTurn: 5 });
  });

  it('hold a reader up for a second', async () => {
    const hold = rig.store.holdFetch();
    const refused = codeOf(show());
    await hold.entered;
    await rig.environment.advance(1000);
    expect(await refused).toBe('session_not_found');
    hold.release();
  });

  it('do not keep a turn from seeing what arrives by itself', async () => {
    const hold = rig.store.holdFetch();
    const reply = rig.turn({ session: 's', turn: 2 });
    await afterHeadStart(hold.entered);
    await rig.environment.advance(499);
    await rig.store.arrive(records[0] as SealedRecord);
    await rig.environment.advance(1);
    expect(await reply).toMatchObject({ basedOnTurn: 1, waitedMs: 600 });
    hold.release();
  });

  it('do not keep a request that its client has left', async () => {
    const hold = rig.store.holdFetch();
    const gone = new AbortController();
    const left = rig.turn({ session: 's', turn: 6, gone: gone.signal });
    await afterHeadStart(hold.entered);
    gone.abort();
    expect(await codeOf(left)).toBe('turn_cancelled');
    hold.release();
  });
});

it('a session that nobody has is told so at once', async () => {
  rig.store.elsewhere.length = 0;
  expect(await codeOf(show())).toBe('session_not_found');
  expect(await codeOf(remove())).toBe('session_not_found');
  expect(rig.environment.pendingTimers).toBe(0);
});

it('a session that a peer knows to be deleted is deleted here', async () => {
  rig.store.elsewhere.splice(0, 5, tombstone);
  expect(await codeOf(show())).toBe('session_deleted');
  expect(await codeOf(rig.turn({ session: 's', turn: 6 }))).toBe('session_deleted');
});

it('a session that is evicted while its turn is answered comes back, and the turn is kept', async () => {
  for (const sealed of records) await rig.store.arrive(sealed);
  const hold = rig.llm.hold();
  const reply = rig.turn({ session: 's', turn: 6 });
  await hold.entered;
  await rig.store.expire(Number.MAX_SAFE_INTEGER);
  hold.release();
  expect(await reply).toMatchObject({ turn: 6, basedOnTurn: 5 });
  rig.restart();
  expect((await show()).turns).toHaveLength(6);
});

it('a session that is evicted between two turns is fetched before the next, and nothing is generated in vain', async () => {
  for (const sealed of records) await rig.store.arrive(sealed);
  await rig.turn({ session: 's', turn: 6 });
  rig.store.elsewhere.push(...rig.records('s').filter(({ record }) => record.turn === 6));
  await rig.store.expire(Number.MAX_SAFE_INTEGER);
  expect(await afterHeadStart(rig.turn({ session: 's', turn: 7 }))).toMatchObject({
    turn: 7,
    basedOnTurn: 6,
    waitedMs: 100,
  });
  expect(rig.store.fetches).toHaveLength(1);
  expect(rig.llm.generations).toHaveLength(2);
});

describe('who says what they have seen of a session', () => {
  it('deletes and reads no less than that', async () => {
    rig.store.elsewhere.length = 0;
    const shown = show({ turn: 5 });
    const named = show({ contextId: records[4]?.hash });
    const gone = remove({ turn: 5 });
    await rig.settled();
    for (const sealed of records) await rig.store.arrive(sealed);
    expect((await shown).turns).toHaveLength(5);
    expect((await named).turns).toHaveLength(5);
    await gone;
    expect(await codeOf(show())).toBe('session_deleted');
  });

  it('is told to ask again where it does not come in time, and nothing is deleted', async () => {
    rig.store.elsewhere.length = 0;
    await rig.store.arrive(records[0] as SealedRecord);
    const refused = [codeOf(show({ turn: 2, maxWaitMs: 300 })), codeOf(remove({ turn: 2, maxWaitMs: 300 }))];
    await rig.settled();
    await rig.environment.advance(300);
    expect(await Promise.all(refused)).toEqual(['context_stale', 'context_stale']);
    expect((await show({ turn: 1 })).turns).toHaveLength(1);
  });

  it('is told at once on a node alone that there is no such turn', async () => {
    const alone = await contextManagerRig();
    await alone.turn({ session: 's', turn: 1 });
    const at = [alone.manager.sessions, 'ada' as never, 's' as never] as const;
    expect(await codeOf(at[0].delete(at[1], at[2], { turn: 2 as never }))).toBe('invalid_request');
    expect(await codeOf(at[0].delete(at[1], 'none' as never, { turn: 1 as never }))).toBe('session_not_found');
    await at[0].delete(at[1], at[2], { turn: 1 as never });
  });
});

describe('while a session is being fetched', () => {
  it('nobody else sees a part of it, and who waits for that waits no longer than half a second', async () => {
    const hold = rig.store.holdFetch();
    const first = show();
    await rig.settled();
    await rig.store.arrive(records[0] as SealedRecord);
    const second = show();
    await rig.settled();
    hold.release();
    expect((await second).turns).toHaveLength(5);
    expect((await first).turns).toHaveLength(5);
    const held = rig.store.holdFetch();
    const third = codeOf(show({ turn: 6, maxWaitMs: 200 }));
    await rig.settled();
    await rig.environment.advance(200);
    expect(await third).toBe('context_stale');
    const fourth = show();
    await rig.environment.advance(500);
    expect((await fourth).turns).toHaveLength(5);
    held.release();
  });
});
