import { MeasuredRate } from '../measured-rate.ts';

/**
 * How long a generation may wait for a chunk, however little time has passed since the one before and however short replies are: as long as so
 * many ids of a reply take.
 */
export const WAITED_TOKENS = 2;

/**
 * After a quiet time a chunk may take so much of it: who has come rarely is delayed rarely, and by little of the time that has passed. An id
 * of a small chunk costs three to eight times what one of a large chunk does.
 */
export const QUIET_SHARE = 1 / 16;

/** Nor longer, however quiet it was: where half a second is time for 64 ids, larger chunks gain less than a tenth. */
export const CHUNK_MS_MAX = 500;

/** Nor longer than so much of what replies take here: a turn that has to wait for one takes so much longer at most. */
export const REPLY_SHARE = 1 / 20;

/** A machine on which so many ids of a reply take longer than that would evaluate a handful at a time; who asks it for a reply waits anyway. */
export const WAITED_TOKENS_MAX = 8;

/** One chunk may be so much larger than the one before, or smaller than its measurement says. */
const STEP_MAX = 2;

/**
 * How many ids are evaluated ahead of need at a time, by how long the engine was quiet, and by what sampling an id and evaluating
 * chunks took lately.
 */
export class ChunkSize {
  readonly #tokensMin: number;
  readonly #tokensMax: number;
  readonly #sampling = new MeasuredRate();
  readonly #replies = new MeasuredRate();
  /** What fits into {@link #allowedMs}, by what chunks took. */
  #tokens: number;
  #allowedMs = 0;

  /** `tokensMin`: no chunk is smaller, where asking for one costs much by itself. */
  constructor(tokensMax: number, tokensMin = 1) {
    this.#tokensMin = tokensMin;
    this.#tokensMax = tokensMax;
    this.#tokens = tokensMin;
  }

  /** Of the next chunk, when no generation has been under way for `quietMs`. */
  tokens(quietMs: number): number {
    const allowedMs = this.#allowedAfter(quietMs);
    // A generation has come since: what fitted then is too much now.
    if (allowedMs < this.#allowedMs) this.#tokens = this.#within(this.#tokens * (allowedMs / this.#allowedMs));
    this.#allowedMs = allowedMs;
    return Math.floor(this.#tokens);
  }

  /** Told of a reply: what so many of its ids took, without the first, which comes with the prompt. */
  replied(tokens: number, ms: number): void {
    if (tokens <= 0) return;
    this.#sampling.took(tokens, ms);
    this.#replies.took(1, ms);
  }

  /** Told what a chunk took. */
  evaluated(tokens: number, ms: number): void {
    // One id is evaluated as one is sampled; where there has been no reply yet, that tells.
    if (this.#sampling.msEach === undefined && tokens === 1 && this.#tokensMin === 1) this.#sampling.took(1, ms);
    if (this.#allowedMs === 0) return;
    const ratio = this.#allowedMs / Math.max(ms, Number.MIN_VALUE);
    // What was shorter than it might have been tells nothing of longer ones.
    if (ratio > 1 && tokens < Math.floor(this.#tokens)) return;
    // Half way at a time, as single measurements scatter.
    const step = Math.min(STEP_MAX, Math.max(1 / STEP_MAX, Math.sqrt(ratio)));
    this.#tokens = this.#within(Math.min(this.#tokens, tokens + 1) * step);
  }

  /** 0 while nothing is known of replies and it was not quiet. */
  #allowedAfter(quietMs: number): number {
    const { msEach = 0 } = this.#sampling;
    const { msEach: replyMs = Number.POSITIVE_INFINITY } = this.#replies;
    const longMs = Math.max(CHUNK_MS_MAX, WAITED_TOKENS_MAX * msEach);
    return Math.max(WAITED_TOKENS * msEach, Math.min(longMs, quietMs * QUIET_SHARE, replyMs * REPLY_SHARE));
  }

  #within(tokens: number): number {
    return Math.min(this.#tokensMax, Math.max(this.#tokensMin, tokens));
  }
}
