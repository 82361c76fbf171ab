// Counts what the cache reads and keeps: a session in use must not be read twice, the least recently used one goes first,
// the bound holds whatever is asked for, and sessions that do not exist or are gone take no one's place for long.
import { describe, expect, it, vi } from 'vitest';
import { TokenContext } from '../../../src/context-manager/modes/token-context.ts';
import type { SealedRecord } from '../../../src/domain/record/record-codec.ts';
import { sessionKeyOf } from '../../../src/domain/record/turn-record.ts';
import { codeOf, contextManagerRig, type Rig } from '../../support/context-manager-rig.ts';

const show = (rig: Rig, session: string) => rig.manager.sessions.show('ada' as never, session as never);
const bytes = (rig: Rig) => rig.metrics.metric('discedge_context_cache_bytes');

/** How many reads of the store a call costs. */
async function readsOf(rig: Rig, call: () => Promise<unknown>): Promise<number> {
  const before = rig.store.reads;
  await call();
  return rig.store.reads - before;
}

describe('the cache of sessions', () => {
  it('reads a session once, however many turns it takes', async () => {
    const rig = await contextManagerRig();
    expect(await readsOf(rig, () => rig.turns('s', { to: 10 }))).toBe(1);
    rig.restart();
    expect(await readsOf(rig, () => rig.turns('s', { from: 11, to: 20 }))).toBe(1);
  });

  it('folds its ids once: a turn costs what it adds, and not what came before', async () => {
    const rig = await contextManagerRig();
    await rig.turn({ session: 's', turn: 1 });
    rig.restart();
    const fold = vi.spyOn(TokenContext, 'of');
    await rig.turns('s', { from: 2, to: 10 });
    expect(fold).toHaveBeenCalledTimes(1);
    rig.llm.failNext('midway');
    await codeOf(rig.turn({ session: 's', turn: 11 }));
    await rig.turns('s', { from: 11, to: 12 });
    expect(fold).toHaveBeenCalledTimes(2);
    fold.mockRestore();
  });

  it('reads it once for all who ask at the same time', async () => {
    const rig = await contextManagerRig();
    await rig.turn({ session: 's', turn: 1 });
    rig.restart();
    const everyone = () => Promise.all(Array.from({ length: 20 }, () => show(rig, 's')));
    expect(await readsOf(rig, everyone)).toBe(1);
  });

  it('lets the least recently used one go first', async () => {
    const rig = await contextManagerRig({ options: { contextCacheBytes: 12_000 } });
    for (const session of ['a', 'b', 'c']) await rig.turn({ session, turn: 1 });
    expect(await readsOf(rig, () => show(rig, 'a'))).toBe(0);
    await rig.turn({ session: 'd', turn: 1 });
    expect(await readsOf(rig, () => show(rig, 'a'))).toBe(0);
    expect(await readsOf(rig, () => show(rig, 'b'))).toBe(1);
  });

  it('stays below its bound under turns, unknown sessions and deletions', async () => {
    const rig = await contextManagerRig({ options: { contextCacheBytes: 50_000 } });
    for (let session = 0; session < 50; session++) {
      await rig.turns(`s${session}`, { to: 3 });
      expect(await bytes(rig)).toBeLessThanOrEqual(50_000);
    }
    expect(await bytes(rig)).toBeGreaterThan(25_000);
    for (let session = 0; session < 200; session++) await codeOf(rig.turn({ session: `no${session}`, turn: 9 }));
    expect(await bytes(rig)).toBeLessThanOrEqual(50_000);
  });

  it('counts nothing for what was deleted, expired or forgotten', async () => {
    const rig = await contextManagerRig();
    for (const session of ['deleted', 'expired', 'forgotten']) await rig.turn({ session, turn: 1, ttlSeconds: 10 });
    await rig.manager.sessions.delete('ada' as never, 'deleted' as never);
    rig.store.failNext('append');
    await codeOf(rig.turn({ session: 'forgotten', turn: 2 }));
    await rig.environment.advance(10_000);
    await codeOf(show(rig, 'expired'));
    // What is left is the knowledge that there is no such session.
    expect(await bytes(rig)).toBeLessThanOrEqual(1000);
  });

  it('drops what the store removes, so that nothing is generated on top of it and then refused', async () => {
    const rig = await contextManagerRig();
    for (const session of ['evicted', 'kept']) await rig.turn({ session, turn: 1 });
    const key = sessionKeyOf((rig.records('evicted')[0] as SealedRecord).record);
    await rig.store.expire(Number.MAX_SAFE_INTEGER, key);
    expect(await codeOf(rig.turn({ session: 'evicted', turn: 2 }))).toBe('session_not_found');
    expect(await codeOf(show(rig, 'evicted'))).toBe('session_not_found');
    expect(await rig.turn({ session: 'kept', turn: 2 })).toMatchObject({ turn: 2 });
    expect(rig.llm.generations).toHaveLength(3);
  });

  it('drops it though a read of it is under way', async () => {
    const rig = await contextManagerRig();
    await rig.turn({ session: 's', turn: 1 });
    rig.restart();
    const reading = rig.store.hold('answer');
    const during = show(rig, 's');
    await reading.entered;
    await rig.store.expire(Number.MAX_SAFE_INTEGER);
    reading.release();
    expect(await codeOf(during)).toBe('session_not_found');
  });

  it('keeps the session in use, whatever its size', async () => {
    const rig = await contextManagerRig({ options: { contextCacheBytes: 1 } });
    expect(await readsOf(rig, () => rig.turns('large', { to: 9, text: 'x'.repeat(1000) }))).toBe(1);
  });
});
