import { MeasuredRate } from '../measured-rate.ts';

/** How long a generation may wait for a chunk: as long as so many ids of a reply take. */
export const WAITED_TOKENS = 2;

/** One chunk may be so much larger than the one before, or smaller. */
const STEP_MAX = 2;

/** How many ids are evaluated ahead of need at a time, by what sampling an id and evaluating chunks took lately. */
export class ChunkSize {
  readonly #tokensMin: number;
  readonly #tokensMax: number;
  readonly #sampling = new MeasuredRate();
  #tokens: number;

  /** `tokensMin`: no chunk is smaller, where asking for one costs much by itself. */
  constructor(tokensMax: number, tokensMin = 1) {
    this.#tokensMin = tokensMin;
    this.#tokensMax = tokensMax;
    this.#tokens = tokensMin;
  }

  get tokens(): number {
    return Math.min(this.#tokensMax, Math.max(this.#tokensMin, Math.floor(this.#tokens)));
  }

  /** Told of replies: what so many of their ids took, without the first, which comes with the prompt. */
  sampled(tokens: number, ms: number): void {
    this.#sampling.took(tokens, ms);
  }

  /** Told what a chunk took. */
  evaluated(tokens: number, ms: number): void {
    // One id is evaluated as one is sampled; where there has been no reply yet, that tells.
    if (this.#sampling.msEach === undefined && tokens === 1 && this.#tokensMin === 1) this.sampled(1, ms);
    const { msEach } = this.#sampling;
    if (msEach === undefined) return;
    const ratio = (WAITED_TOKENS * msEach) / Math.max(ms, Number.MIN_VALUE);
    // What was shorter than it might have been tells nothing of longer ones.
    if (ratio > 1 && tokens < this.tokens) return;
    // Half way at a time, as single measurements scatter.
    const step = Math.min(STEP_MAX, Math.max(1 / STEP_MAX, Math.sqrt(ratio)));
    this.#tokens = Math.min(this.#tokensMax, Math.max(this.#tokensMin, Math.min(this.#tokens, tokens + 1) * step));
  }
}
