/**
 * Values by the session they were measured in. Turns of one session share its moment and its cache, so sessions, not
 * turns, are what chance draws.
 */
export type Sessions = readonly (readonly number[])[];

/** A median or a change of medians, with the 95 % interval that a bootstrap over whole sessions gives. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  /** Of the smaller side, where two are compared. One session has no interval: `low` and `high` are `value`. */
  readonly sessions: number;
}

/** Enough for interval ends that move by less than what is printed of them. */
const RESAMPLES = 2_000;
const CONFIDENCE = 0.95;

/** Median of all values. Equal seeds and values give equal intervals. `undefined` without any value. */
export function estimateMedian(sessions: Sessions, seed: number): Estimate | undefined {
  const held = sessions.filter(({ length }) => length > 0);
  return estimate([held], ([values]) => medianOf(values), seed);
}

/** Median of `other` against that of `baseline`: -0.1 for a tenth less. `undefined` where a side is empty or 0. */
export function estimateChange(baseline: Sessions, other: Sessions, seed: number): Estimate | undefined {
  const sides = [baseline, other].map((side) => side.filter(({ length }) => length > 0));
  const change = ([before, after]: readonly (readonly number[])[]) => {
    const [from, to] = [medianOf(before), medianOf(after)];
    return from === undefined || to === undefined || from === 0 ? undefined : to / from - 1;
  };
  return estimate(sides, change, seed);
}

export type Verdict = 'less' | 'more' | 'no-difference' | 'one-session';

/** What may be said of a change: an interval that holds 0 shows no difference. */
export function verdictOf({ low, high, sessions }: Estimate): Verdict {
  if (sessions < 2) return 'one-session';
  if (low <= 0 && high >= 0) return 'no-difference';
  return high < 0 ? 'less' : 'more';
}

/**
 * The chance that the range of so many sessions holds the true median: what no interval drawn from them can exceed,
 * whatever it is called. 0.75 for three, 0.97 for six.
 */
export function coverageAtMost(sessions: number): number {
  return sessions < 1 ? 0 : 1 - 2 ** (1 - sessions);
}

/** The value below which the share `p` of the values lies, with a straight line between neighbours. Not for none. */
export function quantile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * p;
  const [below, above] = [Math.floor(place), Math.ceil(place)].map((index) => sorted[index] as number) as [
    number,
    number,
  ];
  return below + (above - below) * (place - Math.floor(place));
}

/** The middle value, or the mean of the two in the middle. */
function medianOf(values: readonly number[] = []): number | undefined {
  // Thousands of medians make one interval: numbers sorted as such take a fraction of the time.
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  const [low, high] = [sorted[sorted.length % 2 === 1 ? middle : middle - 1], sorted[middle]];
  return low === undefined || high === undefined ? undefined : (low + high) / 2;
}

function estimate(
  sides: readonly Sessions[],
  statistic: (pooled: readonly (readonly number[])[]) => number | undefined,
  seed: number,
): Estimate | undefined {
  const value = statistic(sides.map((side) => side.flat()));
  if (value === undefined) return undefined;
  const sessions = Math.min(...sides.map(({ length }) => length));
  if (sessions < 2) return { value, low: value, high: value, sessions };
  const drawn = resamples(sides, seed).flatMap((resample) => statistic(resample) ?? []);
  const tail = (1 - CONFIDENCE) / 2;
  // With few and uneven sessions the ends of the interval can miss the value itself, which would read as a mistake.
  return {
    value,
    low: Math.min(value, quantile(drawn, tail)),
    high: Math.max(value, quantile(drawn, 1 - tail)),
    sessions,
  };
}

/** Each side drawn again as often as it has sessions, from all of them: in every way there is, or where those are many by chance. */
function resamples(sides: readonly Sessions[], seed: number): (readonly number[])[][] {
  const ways = sides.reduce((product, { length }) => product * length ** length, 1);
  if (ways <= RESAMPLES) {
    return sides.reduce<(readonly number[])[][]>(
      (some, side) => some.flatMap((pooled) => everyDraw(side).map((values) => [...pooled, values])),
      [[]],
    );
  }
  const chance = chances(seed);
  const drawn = (side: Sessions) => side.flatMap(() => side[Math.floor(chance() * side.length)] as readonly number[]);
  return Array.from({ length: RESAMPLES }, () => sides.map(drawn));
}

function everyDraw(side: Sessions): number[][] {
  return side.reduce<number[][]>(
    (draws) => draws.flatMap((values) => side.map((session) => [...values, ...session])),
    [[]],
  );
}

/** Numbers from 0 up to but not including 1, by the seed alone (the mulberry32 generator). */
function chances(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
