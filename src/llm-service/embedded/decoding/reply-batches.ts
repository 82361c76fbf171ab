/** Of batches of one kind so many are remembered; one in the middle of them tells, as any may have waited for something else. */
const REMEMBERED = 5;
/** As long as a kind was not made so often, nothing is certain. */
const CERTAIN = 3;
/** One in so many batches is made the other way, so that both are known; more often while that is not certain. */
const TRIED_EVERY = 64;
const TRIED_EVERY_AT_FIRST = 4;

/**
 * Whether replies that are under way together get their next ids in one batch or each in its own, by what an id took lately
 * either way. Where memory is what an id waits for, as on a GPU, a batch of all costs hardly more than one; where a thread's
 * arithmetic is, a batch of two may cost more than two batches, as llama.cpp has its fastest kernels for one id.
 */
export class ReplyBatches {
  /** Milliseconds an id, by the number of replies in a batch. */
  readonly #took = new Map<number, number[]>();
  /** How often it was chosen for so many replies. */
  readonly #chosen = new Map<number, number>();

  /** Of so many replies that could go on, how many do in the next batch: all or one. */
  choose(replies: number): number {
    if (replies <= 1) return replies;
    const [one, all] = [this.#took.get(1), this.#took.get(replies)];
    if (all === undefined) return replies;
    if (one === undefined) return 1;
    const isAllFaster = middle(all) <= middle(one);
    const other = isAllFaster ? one : all;
    const chosen = (this.#chosen.get(replies) ?? 0) + 1;
    this.#chosen.set(replies, chosen);
    const isTrial = chosen % (other.length < CERTAIN ? TRIED_EVERY_AT_FIRST : TRIED_EVERY) === 0;
    return isAllFaster === isTrial ? 1 : replies;
  }

  /** Told what a batch of so many took. */
  took(replies: number, ms: number): void {
    const latest = this.#took.get(replies) ?? [];
    this.#took.set(replies, [...latest, ms / replies].slice(-REMEMBERED));
  }
}

/** Of an even number the lower one: of two batches one may have been the first. */
function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1] as number;
}
