// Tries to spend more of a bucket than capacity and time allow, by any order of spending, giving back and clocks that stand, and
// to be kept out of one for ever.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { TokenBucket } from '../../../src/domain/principals/token-bucket.ts';

const anyBucket = fc.record({ capacity: fc.integer({ min: 1, max: 50 }), perSecond: fc.integer({ min: 1, max: 200 }) });
const someTries = fc.array(fc.nat({ max: 400 }), { minLength: 1, maxLength: 200 });

it('in no time lets through more than its capacity and what comes back meanwhile', () => {
  fc.assert(
    fc.property(anyBucket, someTries, ({ capacity, perSecond }, pauses) => {
      const bucket = new TokenBucket({ capacity, perMs: perSecond / 1000 }, 0);
      const takenAt: number[] = [];
      let nowMs = 0;
      for (const pause of pauses) {
        nowMs += pause;
        if (bucket.msUntil(1, nowMs) > 0) continue;
        bucket.spend(1, nowMs);
        takenAt.push(nowMs);
      }
      for (const [first, fromMs] of takenAt.entries()) {
        for (let last = first; last < takenAt.length; last++) {
          const allowed = capacity + (((takenAt[last] as number) - fromMs) * perSecond) / 1000;
          if (last - first + 1 > allowed + 1e-6) return false;
        }
      }
      return true;
    }),
  );
});

it('lets through who comes when it said', () => {
  fc.assert(
    fc.property(anyBucket, someTries, ({ capacity, perSecond }, pauses) => {
      const bucket = new TokenBucket({ capacity, perMs: perSecond / 1000 }, 0);
      let nowMs = 0;
      for (const pause of pauses) {
        nowMs += pause;
        nowMs += bucket.msUntil(1, nowMs);
        if (bucket.msUntil(1, nowMs) > 0) return false;
        bucket.spend(1, nowMs);
      }
      return true;
    }),
    // 0.705 of one, at 0.005 a millisecond, is there after 141, which rounding makes less than all of it.
    { examples: [[{ capacity: 2, perSecond: 5 }, [0, 59, 0]]] },
  );
});

it('is paid back what was overdrawn, and holds no more than its capacity', () => {
  const bucket = new TokenBucket({ capacity: 10, perMs: 0.01 }, 0);
  bucket.spend(30, 0);
  expect(bucket.level(0)).toBe(-20);
  expect(bucket.msUntil(1, 0)).toBe(2_100);
  bucket.spend(-25, 0);
  expect(bucket.level(0)).toBe(5);
  bucket.spend(-25, 0);
  expect(bucket.level(1_000_000)).toBe(10);
});

it('takes a clock that went back for one that stands', () => {
  const bucket = new TokenBucket({ capacity: 1, perMs: 0.001 }, 1_000);
  bucket.spend(1, 1_000);
  expect(bucket.level(0)).toBe(0);
  expect(bucket.level(1_500)).toBe(0.5);
});
