/**
 * A token bucket: what may be spent comes back evenly, up to a capacity. Over any time no more is spent than the capacity, what
 * came back meanwhile and the last spending's overdraft; what is overdrawn is paid back before anything more is spent.
 */
export class TokenBucket {
  readonly capacity: number;
  readonly #perMs: number;
  #level: number;
  #atMs: number;

  /** Full at `nowMs`, by a clock that only goes forward. */
  constructor({ capacity, perMs }: { readonly capacity: number; readonly perMs: number }, nowMs: number) {
    this.capacity = capacity;
    this.#perMs = perMs;
    this.#level = capacity;
    this.#atMs = nowMs;
  }

  /** What may be spent; below 0 while it is overdrawn. */
  level(nowMs: number): number {
    return Math.min(this.capacity, this.#level + Math.max(0, nowMs - this.#atMs) * this.#perMs);
  }

  /** Takes `amount`, whatever is there; a negative amount is given back. */
  spend(amount: number, nowMs: number): void {
    this.#level = Math.min(this.capacity, this.level(nowMs) - amount);
    this.#atMs = Math.max(this.#atMs, nowMs);
  }

  /** Milliseconds, whole, after which it holds `amount`, which is at most its capacity; 0 where it does. */
  msUntil(amount: number, nowMs: number): number {
    const missing = amount - this.level(nowMs);
    if (missing <= 0) return 0;
    const ms = Math.ceil(missing / this.#perMs);
    // The quotient may have been rounded down to a whole one.
    return this.level(nowMs + ms) < amount ? ms + 1 : ms;
  }
}
