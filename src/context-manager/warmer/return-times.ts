import type { LearnedReturns } from './learned-movement.ts';

/** Times are told apart by powers of two: up to a second, two, four, … up to a year. */
const CLASSES = 26;
/** Beyond so many the older ones count half. */
const TURNS_MAX = 4_096;

/** How long sessions are still before their next turn, and how many have none. */
export class ReturnTimes {
  #times: number[] = new Array(CLASSES).fill(0);
  #ends = 0;

  /** `before`: what an earlier process learned, {@link learned}. */
  constructor(before?: LearnedReturns) {
    if (before?.times.length !== CLASSES) return;
    this.#times = [...before.times];
    this.#ends = before.ends;
  }

  get learned(): LearnedReturns {
    return { times: [...this.#times], ends: this.#ends };
  }

  /** A session had its next turn after so long. */
  returned(afterMs: number): void {
    this.#times[classOf(afterMs)] = (this.#times[classOf(afterMs)] as number) + 1;
    if (this.#ends + this.#total(0) < TURNS_MAX) return;
    this.#times = this.#times.map((count) => count / 2);
    this.#ends /= 2;
  }

  /** A session had no further turn. */
  ended(): void {
    this.#ends++;
  }

  /** The chance that a session that has been still for so long has another turn; 1 where nothing was seen. */
  chanceAfter(stillMs: number): number {
    const returning = this.#total(classOf(stillMs)) + 1;
    return returning / (returning + this.#ends);
  }

  #total(from: number): number {
    return this.#times.slice(from).reduce((sum, count) => sum + count, 0);
  }
}

function classOf(ms: number): number {
  const seconds = Math.max(1, ms / 1000);
  return Math.min(CLASSES - 1, Math.ceil(Math.log2(seconds)));
}
