// Tries to catch the report's statistics claiming more than the values allow: on generated sessions an estimate must not
// depend on their order or unit, lie outside what was seen, or find a difference between equal things; and over many
// drawn samples of a known distribution its intervals must hold the truth about as often as they say.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  coverageAtMost,
  estimateChange,
  estimateMedian,
  quantile,
  type Sessions,
  verdictOf,
} from '../../src/report/numbers/statistics.ts';

const SEED = 123;
const value = fc.double({ min: 0.5, max: 1e5, noNaN: true });
const sessions = fc.array(fc.array(value, { minLength: 1, maxLength: 9 }), { minLength: 1, maxLength: 6 });

function plainMedian(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(half) - 1], sorted[Math.floor(half)]] as [number, number];
  return (low + high) / 2;
}

describe('a median with its interval', () => {
  it('is the median of all values, inside an interval that is inside what was seen', () => {
    fc.assert(
      fc.property(sessions, (some) => {
        const all = some.flat();
        const { value: median, low, high, sessions: count } = estimateMedian(some, SEED)!;
        expect(median).toBeCloseTo(plainMedian(all), 6);
        expect(low).toBeLessThanOrEqual(median);
        expect(high).toBeGreaterThanOrEqual(median);
        expect(low).toBeGreaterThanOrEqual(Math.min(...all));
        expect(high).toBeLessThanOrEqual(Math.max(...all));
        expect(count).toBe(some.length);
      }),
      { numRuns: 40 },
    );
  });

  it('is the same for the same rows and seed, whatever order the turns of a session are in', () => {
    fc.assert(
      fc.property(sessions, (some) => {
        const turned = some.map((values) => [...values].reverse());
        expect(estimateMedian(turned, SEED)).toEqual(estimateMedian(some, SEED));
      }),
      { numRuns: 20 },
    );
  });

  it('goes with the unit', () => {
    fc.assert(
      fc.property(sessions, (some) => {
        const inSeconds = some.map((values) => values.map((ms) => ms / 1024));
        const [ms, s] = [estimateMedian(some, SEED)!, estimateMedian(inSeconds, SEED)!];
        expect(s.value * 1024).toBeCloseTo(ms.value, 6);
        expect(s.low * 1024).toBeCloseTo(ms.low, 6);
        expect(s.high * 1024).toBeCloseTo(ms.high, 6);
      }),
      { numRuns: 20 },
    );
  });

  it('has no interval from one session, and is nothing without values', () => {
    expect(estimateMedian([[3, 1, 2]], SEED)).toEqual({ value: 2, low: 2, high: 2, sessions: 1 });
    expect(estimateMedian([], SEED)).toBeUndefined();
    expect(estimateMedian([[], []], SEED)).toBeUndefined();
  });

  it('of few sessions is exact: every way of drawing them counts', () => {
    // Of the 27 ways to draw three again, 7 have the lowest and 7 the highest in the middle.
    expect(estimateMedian([[1], [2], [3]], SEED)).toEqual({ value: 2, low: 1, high: 3, sessions: 3 });
    const { low, high } = estimateChange([[1], [2], [3]], [[1], [2], [3]], SEED)!;
    expect([low, high]).toEqual([1 / 3 - 1, 2]);
    expect(estimateMedian([[1], [2], [3]], SEED)).toEqual(estimateMedian([[1], [2], [3]], SEED + 1));
  });

  it('holds the true median about as often as it says', () => {
    const draws = 150;
    let held = 0;
    for (let draw = 0; draw < draws; draw++) {
      const { low, high } = estimateMedian(bellShaped(draw, 12), SEED)!;
      if (low <= 100 && high >= 100) held++;
    }
    expect(held / draws).toBeGreaterThan(0.88);
    // One that always held it would be too wide to be worth anything.
    expect(held).toBeLessThan(draws);
  });
});

describe('a change of medians', () => {
  it('of a thing against itself is none, and is called no difference', () => {
    fc.assert(
      fc.property(fc.array(fc.array(value, { minLength: 1 }), { minLength: 2, maxLength: 5 }), (some) => {
        const change = estimateChange(some, some, SEED)!;
        expect(change.value).toBe(0);
        expect(verdictOf(change)).toBe('no-difference');
      }),
      { numRuns: 30 },
    );
  });

  it('is undone by the change back', () => {
    fc.assert(
      fc.property(sessions, sessions, (one, other) => {
        const [there, back] = [estimateChange(one, other, SEED)!, estimateChange(other, one, SEED)!];
        expect((1 + there.value) * (1 + back.value)).toBeCloseTo(1, 6);
        expect(there.sessions).toBe(Math.min(one.length, other.length));
      }),
      { numRuns: 30 },
    );
  });

  it('is called by its direction only where the interval leaves 0 out', () => {
    const scaled = (factor: number): Sessions => bellShaped(1, 8).map((values) => values.map((v) => v * factor));
    expect(verdictOf(estimateChange(scaled(1), scaled(0.5), SEED)!)).toBe('less');
    expect(verdictOf(estimateChange(scaled(1), scaled(2), SEED)!)).toBe('more');
    expect(verdictOf(estimateChange(bellShaped(1, 8), bellShaped(2, 8), SEED)!)).toBe('no-difference');
    expect(verdictOf(estimateChange([[100]], [[50]], SEED)!)).toBe('one-session');
  });

  it('sessions are drawn whole: turns that are alike within a session do not make it more certain', () => {
    const few: Sessions = [[100], [110], [90]];
    const many: Sessions = few.map(([v]) => Array.from({ length: 30 }, () => v as number));
    const [narrow, wide] = [estimateMedian(many, SEED)!, estimateMedian(few, SEED)!];
    expect([narrow.low, narrow.high]).toEqual([wide.low, wide.high]);
  });

  it('against nothing, or against 0, is no change', () => {
    expect(estimateChange([], [[1]], SEED)).toBeUndefined();
    expect(estimateChange([[0]], [[1]], SEED)).toBeUndefined();
  });
});

it('three sessions promise 75 %, six more than 95 %', () => {
  expect(coverageAtMost(3)).toBe(0.75);
  expect(coverageAtMost(5)).toBeLessThan(0.95);
  expect(coverageAtMost(6)).toBeGreaterThan(0.95);
});

it('a quantile lies between its neighbours', () => {
  expect(quantile([4, 1, 3, 2], 0)).toBe(1);
  expect(quantile([4, 1, 3, 2], 1)).toBe(4);
  expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
});

/** Sessions of one value each around 100, by the sum of twelve even numbers. */
function bellShaped(seed: number, count: number): Sessions {
  let state = seed * 7919 + 17;
  const even = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return Array.from({ length: count }, () => [100 + Array.from({ length: 12 }, even).reduce((a, b) => a + b, -6) * 10]);
}
