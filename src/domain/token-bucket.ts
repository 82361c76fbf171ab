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
    this.#level = Math.min(this.capacity, this.#level + Math.max(0, nowMs - this.#atMs) * this.#perMs);
    this.#atMs = Math.max(this.#atMs, nowMs);
    return this.#level;
  }

  /** Takes `amount`, whatever is there; a negative amount is given back. */
  spend(amount: number, nowMs: number): void {
    this.#level = Math.min(this.capacity, this.level(nowMs) - amount);
  }

  /** Milliseconds, whole, after which it holds `amount`, which is at most its capacity; 0 where it does. */
  msUntil(amount: number, nowMs: number): number {
    return Math.max(0, Math.ceil((amount - this.level(nowMs)) / this.#perMs));
  }
}
