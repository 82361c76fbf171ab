/** How much of what was known before a measurement counts beside it: the last ten or so decide. */
const REMEMBERED = 0.9;

/** Milliseconds for an amount of work, from what such work took lately. */
export class MeasuredRate {
  #amount = 0;
  #ms = 0;
  /** The least that any of it took: opening a file costs something, however short it is. */
  #leastMs = Number.POSITIVE_INFINITY;

  took(amount: number, ms: number): void {
    if (amount <= 0) return;
    this.#amount = this.#amount * REMEMBERED + amount;
    this.#ms = this.#ms * REMEMBERED + Math.max(0, ms);
    this.#leastMs = Math.min(this.#leastMs, ms);
  }

  /** Not done because it seemed too slow: what is never done is never measured, and one slow hour must not decide for ever. */
  avoided(): void {
    this.#ms *= REMEMBERED;
    this.#leastMs *= REMEMBERED;
  }

  /** For one of many; `undefined` until something has been measured. */
  get msEach(): number | undefined {
    return this.#amount === 0 ? undefined : this.#ms / this.#amount;
  }

  /** `undefined` until something has been measured. */
  msFor(amount: number): number | undefined {
    if (this.#amount === 0) return undefined;
    return Math.max(this.#leastMs, (amount * this.#ms) / this.#amount);
  }
}
