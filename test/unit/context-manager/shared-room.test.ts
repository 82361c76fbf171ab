// Tries to push an owner's values out of a room that it shares by using much of it oneself, and to keep values of owners who have
// long gone.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OWNER_IDLE_MS, SharedRoom } from '../../../src/context-manager/sessions/shared-room.ts';

describe('a room that owners share', () => {
  it('gives up the least recently used of one owner', () => {
    const room = new SharedRoom<string>(30, () => 0);
    for (const key of ['a', 'b', 'c']) room.put(key, 'ada', key, 10);
    room.use('a');
    room.put('d', 'ada', 'd', 10);
    expect(['a', 'b', 'c', 'd'].map((key) => room.peek(key))).toEqual(['a', undefined, 'c', 'd']);
  });

  it('takes nothing from who is within its part, however much another one uses', () => {
    const room = new SharedRoom<number>(100, () => 0);
    for (let i = 0; i < 5; i++) room.put(`ada ${i}`, 'ada', i, 10);
    for (let i = 0; i < 1_000; i++) room.put(`bob ${i}`, 'bob', i, 10);
    for (let i = 0; i < 5; i++) expect(room.peek(`ada ${i}`)).toBe(i);
    expect(room.peek('bob 999')).toBe(999);
    expect(room.bytes).toBe(100);
  });

  it('takes from who has left before it takes from anybody else', () => {
    let nowMs = 0;
    const room = new SharedRoom<string>(100, () => nowMs);
    for (let i = 0; i < 10; i++) room.put(`left ${i}`, `left ${i}`, 'left', 5);
    nowMs += OWNER_IDLE_MS;
    room.put('large', 'ada', 'large', 60);
    room.put('other', 'bob', 'other', 35);
    expect(room.peek('large')).toBe('large');
    expect(room.bytes).toBe(100);
  });

  it('keeps one value of any size', () => {
    const room = new SharedRoom<string>(10, () => 0);
    room.put('a', 'ada', 'a', 100);
    expect(room.peek('a')).toBe('a');
    room.put('b', 'bob', 'b', 1);
    expect([room.peek('a'), room.peek('b')]).toEqual([undefined, 'b']);
  });

  it('holds to its bound, its sums and its promise, whatever is done', () => {
    const owner = fc.integer({ min: 0, max: 4 });
    const act = fc.record({
      how: fc.constantFrom('put', 'use', 'grow', 'delete'),
      owner,
      which: fc.nat({ max: 8 }),
      bytes: fc.integer({ min: 1, max: 40 }),
      passMs: fc.constantFrom(0, 1, OWNER_IDLE_MS / 3),
    });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 120 }), (acts) => {
        let nowMs = 0;
        const room = new SharedRoom<string>(100, () => nowMs);
        const known = new Map<string, { owner: number; bytes: number; usedAtMs: number }>();
        for (const { how, owner, which, bytes, passMs } of acts) {
          nowMs += passMs;
          const key = `${owner} ${which}`;
          const entry = known.get(key);
          if (how === 'put') known.set(key, { owner, bytes, usedAtMs: nowMs });
          else if (entry !== undefined && how === 'use') entry.usedAtMs = nowMs;
          else if (entry !== undefined && how === 'grow') entry.bytes += bytes;
          else if (how === 'delete') known.delete(key);
          const before = new Map([...known].map(([key, entry]) => [key, { ...entry }]));
          if (how === 'put') room.put(key, String(owner), key, bytes);
          else if (how === 'use') room.use(key);
          else if (how === 'grow') room.grow(key, bytes);
          else room.delete(key);
          for (const [key, entry] of before) {
            if (room.peek(key) !== undefined) continue;
            known.delete(key);
            const ofOwner = [...before.values()].filter(({ owner }) => owner === entry.owner);
            const held = ofOwner.reduce((sum, { bytes }) => sum + bytes, 0);
            const owners = new Set([...before.values()].map(({ owner }) => owner)).size;
            const isIdle = nowMs - entry.usedAtMs >= OWNER_IDLE_MS;
            if (!isIdle && held <= 100 / owners) return false;
          }
          const sum = [...known.values()].reduce((sum, { bytes }) => sum + bytes, 0);
          if (room.bytes !== sum || (sum > 100 && known.size > 1)) return false;
        }
        return true;
      }),
      { numRuns: 2_000 },
    );
  });
});
