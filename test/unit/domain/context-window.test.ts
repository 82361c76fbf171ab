// Tries to make a cut that does not fit, cuts too little or too often, drops the preamble, or keeps a turn while dropping
// a later one.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { replyReserve, turnsToDrop, type WindowPlan } from '../../../src/domain/session/context-window.ts';

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

const plans: fc.Arbitrary<WindowPlan> = fc.record({
  windowTokens: fc.integer({ min: 8, max: 4_096 }),
  replyTokens: fc.integer({ min: 1, max: 1_024 }),
  preambleTokens: fc.integer({ min: 0, max: 500 }),
  turnTokens: fc.array(fc.integer({ min: 1, max: 700 }), { maxLength: 40, size: 'max' }),
  newTokens: fc.integer({ min: 1, max: 1_000 }),
});

describe('turnsToDrop', () => {
  test('drops just so many of the oldest turns that the rest fits in half the window, reply included', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const dropped = turnsToDrop(plan);
        const fixed = plan.preambleTokens + plan.newTokens;
        const budget = plan.windowTokens - plan.replyTokens;
        if (dropped === undefined) {
          expect(fixed).toBeGreaterThan(budget);
          return;
        }
        const kept = (from: number) => fixed + sum(plan.turnTokens.slice(from));
        const target = Math.min(budget, plan.windowTokens / 2);
        expect(kept(dropped)).toBeLessThanOrEqual(Math.max(target, fixed));
        expect(kept(dropped)).toBeLessThanOrEqual(budget);
        if (dropped > 0) expect(kept(dropped - 1)).toBeGreaterThan(Math.floor(target));
      }),
      { numRuns: 1_000 },
    );
  });

  test('cuts in large steps: after a cut half the window of turns goes by before the next', () => {
    const plan = { windowTokens: 1_000, replyTokens: 100, preambleTokens: 50, newTokens: 50 };
    let turns: number[] = [];
    let cuts = 0;
    for (let turn = 0; turn < 100; turn++) {
      if (plan.preambleTokens + sum(turns) + plan.newTokens > plan.windowTokens - plan.replyTokens) {
        turns = turns.slice(turnsToDrop({ ...plan, turnTokens: turns }));
        cuts++;
      }
      turns.push(50);
    }
    expect(cuts).toBeGreaterThan(5);
    expect(cuts).toBeLessThanOrEqual(Math.ceil((100 * 50) / 400));
  });

  test('says so when the new turn alone does not fit', () => {
    const plan = { windowTokens: 100, replyTokens: 20, preambleTokens: 10, turnTokens: [5, 5], newTokens: 71 };
    expect(turnsToDrop(plan)).toBeUndefined();
    expect(turnsToDrop({ ...plan, newTokens: 70 })).toBe(2);
  });

  test('drops nothing where everything fits in half the window', () => {
    const plan = { windowTokens: 100, replyTokens: 20, preambleTokens: 10, turnTokens: [10, 10], newTokens: 20 };
    expect(turnsToDrop(plan)).toBe(0);
  });
});

describe('replyReserve', () => {
  test('is what was asked for, at least one id, at most a quarter of the window', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 4, max: 200_000 }),
        fc.option(fc.integer({ min: 1, max: 200_000 })),
        (window, asked) => {
          const reserve = replyReserve(window, asked ?? undefined);
          expect(reserve).toBe(Math.min(asked ?? Number.POSITIVE_INFINITY, Math.floor(window / 4)));
          expect(reserve).toBeGreaterThanOrEqual(1);
        },
      ),
    );
  });
});
