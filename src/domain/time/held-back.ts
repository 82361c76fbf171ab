/** So much is held back for so much longer, in milliseconds. */
export interface HeldBackPart {
  readonly ms: number;
  readonly forMs: number;
}

/** What is put forward within that part of the longest life is held back together, and as much longer. */
const PARTS = 8;

/**
 * What a clock has been put forward by, for as long as anything lives that was there before, by a time that goes on steadily.
 * Each time has its own end: a machine that is put forward every day holds back what it was put forward by within the longest
 * life, and not all that ever was.
 */
export class HeldBack {
  readonly #lifetimeMsMax: number;
  /** Oldest first; at most {@link PARTS} and two. */
  #parts: { ms: number; readonly untilMs: number }[];

  constructor(lifetimeMsMax: number, kept: readonly HeldBackPart[], nowMs: number) {
    this.#lifetimeMsMax = lifetimeMsMax;
    this.#parts = kept.map(({ ms, forMs }) => ({ ms, untilMs: nowMs + forMs }));
  }

  at(nowMs: number): number {
    return this.#living(nowMs).reduce((sum, { ms }) => sum + ms, 0);
  }

  /** The clock was put forward by `ms`, or back by a negative one, which takes from what came last. */
  put(ms: number, nowMs: number): void {
    this.#parts = this.#living(nowMs);
    const last = this.#parts.at(-1);
    if (ms > 0 && last !== undefined && last.untilMs >= nowMs + this.#lifetimeMsMax) last.ms += ms;
    else if (ms > 0) this.#parts.push({ ms, untilMs: nowMs + this.#lifetimeMsMax * (1 + 1 / PARTS) });
    for (let left = -ms; left > 0 && this.#parts.length > 0; ) {
      const part = this.#parts.at(-1) as { ms: number };
      const taken = Math.min(left, part.ms);
      left -= taken;
      part.ms -= taken;
      if (part.ms === 0) this.#parts.pop();
    }
  }

  keptAt(nowMs: number): HeldBackPart[] {
    return this.#living(nowMs).map(({ ms, untilMs }) => ({ ms, forMs: untilMs - nowMs }));
  }

  #living(nowMs: number) {
    return this.#parts.filter(({ untilMs }) => nowMs < untilMs);
  }
}
