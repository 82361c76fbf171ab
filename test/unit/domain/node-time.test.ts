// Gives a node clocks that jump, stand still, are set by hand or by NTP, agree and disagree with other nodes', and looks whether
// anything that is stamped with the node's time would end before its whole life has passed.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type KeptTime, NodeTime, type PeerClock } from '../../../src/domain/time/node-time.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const TRUE_START_MS = Date.UTC(2026, 5, 1);
const SETTLE_MS = 10 * MINUTE;
const LIFETIME_MS_MAX = 30 * DAY;

/** A machine: true time passes, its clock is off by what it was set to. */
function machine({ offMs = 0 } = {}) {
  let passedMs = 0;
  return {
    offMs,
    passes(ms: number) {
      passedMs += ms;
    },
    get trueMs() {
      return TRUE_START_MS + passedMs;
    },
    read() {
      return { wallMs: TRUE_START_MS + passedMs + this.offMs, steadyMs: passedMs };
    },
    boot({ kept, isShared = false }: { kept?: KeptTime; isShared?: boolean } = {}) {
      const read = () => this.read();
      const limits = { toleranceMs: MINUTE, settleMs: SETTLE_MS, lifetimeMsMax: LIFETIME_MS_MAX };
      return new NodeTime({ read, kept, isShared, ...limits });
    },
    /** A peer whose clock is ahead of the true time. */
    peer(aheadMs = 0, plusMinusMs = 1): PeerClock {
      return { timeMs: TRUE_START_MS + passedMs + aheadMs, atSteadyMs: passedMs, plusMinusMs };
    },
  };
}

describe('a node without peers', () => {
  it('with a right clock has the time of the machine, and ends things by it', () => {
    const m = machine();
    const time = m.boot();
    m.passes(HOUR);
    expect(time.doubt).toBeUndefined();
    expect([time.nowMs, time.endedUpToMs]).toEqual([m.trueMs, m.trueMs]);
  });

  it('25 hours ahead for 4 seconds: its time goes on, and nothing ends meanwhile', () => {
    const m = machine();
    const time = m.boot();
    const before = time.endedUpToMs;
    m.offMs = 25 * HOUR;
    m.passes(4 * SECOND);
    expect(time.doubt).toBe('stepped');
    expect([time.nowMs, time.endedUpToMs]).toEqual([m.trueMs, before]);
    expect(time.wallAheadMs).toBe(25 * HOUR);
    m.offMs = 0;
    expect(time.doubt).toBeUndefined();
    expect(time.endedUpToMs).toBe(m.trueMs);
  });

  it('in 1970 until it hears of the time: what it stamped lives on, and what has ended has ended', () => {
    const m = machine();
    m.offMs = -TRUE_START_MS;
    const time = m.boot();
    expect(time.doubt).toBe('behind');
    m.passes(30 * MINUTE);
    time.consider([]);
    expect(time.doubt).toBe('behind');
    const ends = time.nowMs + HOUR;
    m.offMs = 0;
    m.passes(SETTLE_MS);
    time.consider([]);
    expect(time.doubt).toBe('stepped');
    m.passes(SETTLE_MS);
    time.consider([]);
    expect(time.doubt).toBeUndefined();
    expect(time.nowMs).toBe(m.trueMs);
    expect(time.endedUpToMs).toBeLessThan(ends);
    m.passes(40 * MINUTE);
    expect(time.endedUpToMs).toBeGreaterThanOrEqual(ends);
  });

  it('that slept has missed nothing', () => {
    const m = machine();
    const time = m.boot();
    m.passes(9 * HOUR);
    expect(time.doubt).toBeUndefined();
    expect(time.endedUpToMs).toBe(m.trueMs);
  });

  it('with a clock that NTP slews, or an hour that is named otherwise, has no doubt', () => {
    const m = machine({ offMs: 40 * SECOND });
    const time = m.boot();
    const ends = time.nowMs + 20 * HOUR;
    while (m.offMs > 0) {
      m.passes(10 * SECOND);
      m.offMs -= 5;
      expect(time.doubt).toBeUndefined();
      void time.endedUpToMs;
    }
    expect(Math.abs(time.nowMs - m.trueMs)).toBeLessThan(SECOND);
    expect(time.endedUpToMs).toBeGreaterThan(ends);
  });

  it.each([25 * HOUR, -25 * HOUR])('put by %i ms for good: followed once that has lasted', (offMs) => {
    const m = machine();
    const time = m.boot();
    m.offMs = offMs;
    m.passes(SECOND);
    time.consider([]);
    m.passes(SETTLE_MS - 1);
    time.consider([]);
    expect(time.doubt).toBe('stepped');
    m.passes(1);
    time.consider([]);
    expect(time.doubt).toBeUndefined();
    expect(time.nowMs).toBe(m.trueMs + offMs);
  });
});

describe('started again', () => {
  const keptOf = (m: ReturnType<typeof machine>) => m.boot().kept;

  it('at once, has no doubt', () => {
    const m = machine();
    const kept = keptOf(m);
    m.passes(MINUTE);
    expect(m.boot({ kept }).doubt).toBeUndefined();
  });

  it('after a day: what ended before has ended, and nothing more until the clock has lasted', () => {
    const m = machine();
    const kept = keptOf(m);
    m.passes(DAY);
    const time = m.boot({ kept });
    expect([time.doubt, time.nowMs, time.endedUpToMs]).toEqual(['starting', m.trueMs, kept.endedUpToMs]);
    m.passes(SETTLE_MS);
    time.consider([]);
    expect([time.doubt, time.endedUpToMs]).toEqual([undefined, m.trueMs]);
  });

  it('before the time it had already: goes on from there', () => {
    const m = machine();
    const kept = keptOf(m);
    m.offMs = -DAY;
    const time = m.boot({ kept });
    m.passes(HOUR);
    expect([time.doubt, time.nowMs, time.endedUpToMs]).toEqual(['behind', kept.timeMs + HOUR, kept.endedUpToMs]);
  });

  it('remembers what it holds back', () => {
    const m = machine();
    const time = m.boot();
    const ends = time.nowMs + HOUR;
    m.offMs = 25 * HOUR;
    m.passes(SECOND);
    time.consider([]);
    m.passes(SETTLE_MS);
    time.consider([]);
    const again = m.boot({ kept: time.kept });
    expect([again.doubt, again.nowMs]).toEqual([undefined, m.trueMs + 25 * HOUR]);
    expect(again.endedUpToMs).toBeLessThan(ends);
  });

  it('every morning, with a clock that stood still at night: what it holds back stays within the longest life', () => {
    const m = machine();
    let kept: KeptTime | undefined;
    let lagMs = 0;
    for (let day = 0; day < 200; day++) {
      const time = m.boot(kept === undefined ? {} : { kept });
      m.passes(SETTLE_MS);
      m.offMs = 0;
      for (let hour = 0; hour < 16; hour++) {
        m.passes(HOUR);
        time.consider([]);
      }
      expect(time.doubt).toBeUndefined();
      lagMs = time.nowMs - time.endedUpToMs;
      kept = time.kept;
      m.passes(8 * HOUR);
      m.offMs = -8 * HOUR;
    }
    // What is up for 16 h a day lives through so many nights.
    const nights = ((LIFETIME_MS_MAX / DAY) * 24) / 16;
    expect(lagMs).toBeLessThanOrEqual(nights * 1.25 * 8 * HOUR);
    expect(lagMs).toBeGreaterThan(8 * HOUR);
  });
});

describe('a node with peers', () => {
  it('has nothing end until one of them has confirmed its time', () => {
    const m = machine();
    const time = m.boot({ isShared: true });
    expect([time.doubt, time.endedUpToMs]).toEqual(['starting', 0]);
    time.consider([m.peer(500)]);
    expect([time.doubt, time.endedUpToMs]).toEqual([undefined, m.trueMs]);
  });

  it.each([
    ['one of one', [25 * HOUR], 'peers'],
    ['one of two', [25 * HOUR, 0], undefined],
    ['two of two', [25 * HOUR, -25 * HOUR], 'peers'],
    ['two of three', [25 * HOUR, 25 * HOUR, 0], 'peers'],
    ['one of three', [25 * HOUR, 0, 0], undefined],
  ] as const)('%s has another time: %s', (_, ahead, doubt) => {
    const m = machine();
    const time = m.boot({ isShared: true });
    time.consider(ahead.map((ms) => m.peer(ms)));
    m.passes(DAY);
    expect(time.doubt).toBe(doubt);
    expect(time.nowMs).toBe(m.trueMs);
    expect(time.endedUpToMs).toBe(doubt === undefined ? m.trueMs : 0);
  });

  it('whose round trip says little of the time does not contradict it', () => {
    const m = machine();
    const time = m.boot({ isShared: true });
    time.consider([m.peer(MINUTE + 4 * SECOND, 5 * SECOND)]);
    expect(time.doubt).toBeUndefined();
  });

  it('that has jumped is followed when most of them agree with it, and what was there loses nothing', () => {
    const m = machine({ offMs: -DAY });
    const time = m.boot({ isShared: true });
    time.consider([m.peer(), m.peer()]);
    expect(time.doubt).toBe('peers');
    const ends = time.nowMs + HOUR;
    m.offMs = 0;
    m.passes(SECOND);
    time.consider([m.peer(), m.peer()]);
    expect([time.doubt, time.nowMs]).toEqual([undefined, m.trueMs]);
    expect(time.endedUpToMs).toBeLessThan(ends);
    m.passes(HOUR);
    expect(time.endedUpToMs).toBeGreaterThanOrEqual(ends);
  });

  it('that has jumped is not followed, however long that lasts, while they contradict it', () => {
    const m = machine();
    const time = m.boot({ isShared: true });
    time.consider([m.peer(), m.peer()]);
    m.offMs = 25 * HOUR;
    for (let passed = 0; passed < DAY; passed += HOUR) {
      m.passes(HOUR);
      time.consider([m.peer(), m.peer()]);
    }
    expect([time.doubt, time.nowMs]).toEqual(['stepped', m.trueMs]);
  });

  it('that are away for long: the time is believed once it has lasted', () => {
    const m = machine();
    const time = m.boot({ isShared: true });
    m.passes(SETTLE_MS);
    time.consider([]);
    expect(time.doubt).toBeUndefined();
  });
});

describe('whatever clocks do', () => {
  const act = fc.oneof(
    fc.record({ kind: fc.constant('passes' as const), ms: fc.integer({ min: 1, max: 3 * HOUR }) }),
    fc.record({ kind: fc.constant('set' as const), ms: fc.integer({ min: -60 * 365 * DAY, max: 60 * 365 * DAY }) }),
    fc.record({ kind: fc.constant('set' as const), ms: fc.integer({ min: -2 * MINUTE, max: 2 * MINUTE }) }),
    fc.record({ kind: fc.constant('right' as const) }),
    fc.record({ kind: fc.constant('stamp' as const), ms: fc.integer({ min: 1, max: LIFETIME_MS_MAX }) }),
    fc.record({
      kind: fc.constant('peers' as const),
      ahead: fc.array(fc.integer({ min: -DAY, max: DAY }), { maxLength: 3 }),
    }),
    fc.record({ kind: fc.constant('like peers' as const), count: fc.integer({ min: 1, max: 3 }) }),
  );

  it('what was stamped does not end before its whole life has passed', () => {
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.integer({ min: -60 * 365 * DAY, max: DAY }),
        fc.array(act, { maxLength: 60 }),
        (isShared, offMs, acts) => {
          const m = machine({ offMs });
          const time = m.boot({ isShared });
          const stamped: { endsMs: number; stampedMs: number; lifeMs: number }[] = [];
          for (const one of acts) {
            if (one.kind === 'passes') m.passes(one.ms);
            if (one.kind === 'set') m.offMs = one.ms;
            if (one.kind === 'right') m.offMs = 0;
            if (one.kind === 'stamp')
              stamped.push({ endsMs: time.nowMs + one.ms, stampedMs: m.trueMs, lifeMs: one.ms });
            const peers =
              one.kind === 'peers'
                ? one.ahead.map((ms) => m.peer(ms))
                : one.kind === 'like peers'
                  ? Array(one.count).fill(m.peer(m.offMs))
                  : [];
            time.consider(peers);
            for (const { endsMs, stampedMs, lifeMs } of stamped) {
              const lived = m.trueMs - stampedMs;
              // A machine's clock may drift by a thousandth, and is read in steps.
              if (lived * 1.002 + 100 * acts.length < lifeMs) expect(time.endedUpToMs).toBeLessThan(endsMs);
            }
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('with a right clock things end on time once the longest life has passed, and an eighth', () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
        const m = machine();
        const time = m.boot();
        for (const one of acts) {
          if (one.kind === 'passes') m.passes(one.ms);
          if (one.kind === 'set') m.offMs = one.ms;
          time.consider([]);
        }
        m.offMs = 0;
        m.passes(SECOND);
        time.consider([]);
        m.passes(SETTLE_MS);
        time.consider([]);
        m.passes((LIFETIME_MS_MAX * 9) / 8);
        time.consider([]);
        expect([time.doubt, time.nowMs, time.endedUpToMs]).toEqual([undefined, m.trueMs, m.trueMs]);
      }),
    );
  });
});
