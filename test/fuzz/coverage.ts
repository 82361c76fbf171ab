import { Session } from 'node:inspector';

/** From a place in a script's source to another. */
type Interval = readonly [from: number, to: number];

interface CoveredScript {
  readonly scriptId: string;
  readonly url: string;
  readonly functions: readonly {
    readonly ranges: readonly { readonly startOffset: number; readonly endOffset: number; readonly count: number }[];
  }[];
}

/** The code of the node, and no library's or test's. */
const OWN_CODE = /^(?!.*\/node_modules\/).*\/src\/.*\.ts/;

/**
 * What of the node's code has run, by V8's own counters: no native part, no instrumented copy of the code. Only what is loaded
 * after {@link start} is told of by blocks.
 */
export class Coverage {
  readonly #session = new Session();
  /** By function: what has never run. */
  readonly #dark = new Map<string, readonly Interval[]>();

  static start(): Coverage {
    const coverage = new Coverage();
    coverage.#session.connect();
    coverage.#session.post('Profiler.enable');
    coverage.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    return coverage;
  }

  /** Nothing has run yet, as far as the next calls tell. */
  forget(): void {
    this.reachedMore();
    this.#dark.clear();
  }

  stop(): void {
    this.#session.post('Profiler.stopPreciseCoverage');
    this.#session.disconnect();
  }

  /** Whether anything has run since the call before that had never run; `noted: false` leaves it new to the next call. */
  reachedMore({ noted = true } = {}): boolean {
    let scripts: readonly CoveredScript[] = [];
    // In one process the answer comes before the call returns.
    this.#session.post('Profiler.takePreciseCoverage', (error, { result }) => {
      if (error !== null) throw error;
      scripts = result;
    });
    let isMore = false;
    for (const { scriptId, url, functions } of scripts) {
      if (!OWN_CODE.test(url)) continue;
      for (const { ranges } of functions) {
        const [whole] = ranges;
        if (whole === undefined || whole.count === 0) continue;
        const name = `${scriptId}:${whole.startOffset}:${whole.endOffset}`;
        const now = ranges
          .filter(({ count }) => count === 0)
          .map((range): Interval => [range.startOffset, range.endOffset]);
        const before = this.#dark.get(name);
        const dark = before === undefined ? now : commonTo(before, now);
        if (before === undefined || lengthOf(dark) < lengthOf(before)) isMore = true;
        if (noted) this.#dark.set(name, dark);
      }
    }
    return isMore;
  }
}

function commonTo(some: readonly Interval[], others: readonly Interval[]): Interval[] {
  return some.flatMap(([from, to]) =>
    others
      .map(([start, end]): Interval => [Math.max(from, start), Math.min(to, end)])
      .filter(([start, end]) => start < end),
  );
}

function lengthOf(intervals: readonly Interval[]): number {
  return intervals.reduce((sum, [from, to]) => sum + to - from, 0);
}
