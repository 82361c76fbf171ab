/** Weights of the newest sample in the mean and in its deviation, and how many deviations are waited for: RFC 6298's. */
const MEAN_WEIGHT = 1 / 8;
const DEVIATION_WEIGHT = 1 / 4;
const DEVIATIONS = 4;
/** One sample must not have a node waited for as long as one that hangs. */
const DELAY_MS_MAX = 1_000;

/** How long small answers of a peer take. */
export class PeerDelay {
  #meanMs: number | undefined;
  #deviationMs = 0;

  note(sampleMs: number): void {
    if (this.#meanMs === undefined) {
      this.#meanMs = sampleMs;
      this.#deviationMs = sampleMs / 2;
      return;
    }
    this.#deviationMs += DEVIATION_WEIGHT * (Math.abs(sampleMs - this.#meanMs) - this.#deviationMs);
    this.#meanMs += MEAN_WEIGHT * (sampleMs - this.#meanMs);
  }

  /** Milliseconds by which nearly all have come; 0 while none has been measured. */
  get mostMs(): number {
    return Math.min(DELAY_MS_MAX, (this.#meanMs ?? 0) + DEVIATIONS * this.#deviationMs);
  }
}
