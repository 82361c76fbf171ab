import { MeasuredRate } from '../../measured-rate.ts';

/** One in so many batches is made the other way, so that both are known as they are now. */
const TRIED_EVERY = 64;

/**
 * Whether replies that are under way together get their next ids in one batch or each in its own, by what an id took lately
 * either way. Where memory is what an id waits for, as on a GPU, a batch of all costs hardly more than one; where a thread's
 * arithmetic is, a batch of two may cost more than two batches, as llama.cpp has its fastest kernels for one id.
 */
export class ReplyBatches {
  /** By the number of replies in a batch. */
  readonly #rates = new Map<number, MeasuredRate>();
  #made = 0;

  /** Of so many replies that could go on, how many do in the next batch: all or one. */
  size(replies: number): number {
    if (replies <= 1) return replies;
    const [one, all] = [this.#rate(1).msEach, this.#rate(replies).msEach];
    if (all === undefined) return replies;
    if (one === undefined) return 1;
    const isAllFaster = all <= one;
    const isTrial = ++this.#made % TRIED_EVERY === 0;
    return isAllFaster === isTrial ? 1 : replies;
  }

  /** Told what a batch of so many took. */
  took(replies: number, ms: number): void {
    this.#rate(replies).took(replies, ms);
  }

  #rate(replies: number): MeasuredRate {
    const rate = this.#rates.get(replies) ?? new MeasuredRate();
    this.#rates.set(replies, rate);
    return rate;
  }
}
