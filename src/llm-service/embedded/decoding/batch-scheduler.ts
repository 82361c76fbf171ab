import type { LlamaContext } from 'node-llama-cpp';
import type { Clock } from '../../../environment/environment.ts';
import { aroundDecoding, type DecodeRequest } from './decoding.ts';
import { ReplyBatches } from './reply-batches.ts';

type Piece = Pick<DecodeRequest, 'sequenceId' | 'tokens'>;

interface Waiting extends Piece {
  /** Resolves when it is answered: whether it was evaluated. */
  start(): Promise<boolean>;
}

export interface BatchSchedulerOptions {
  /** Most ids of a batch. */
  readonly batchTokens: number;
  readonly clock: Clock;
}

/**
 * Puts together what llama.cpp evaluates in one call. node-llama-cpp takes what happens to be there when a call ends, in the
 * order it came: two replies that are under way would each find the other's id gone ahead, for ever. And without a common KV
 * cache llama.cpp computes only those sequences together that follow each other in the batch by their numbers. So a batch is
 * begun when those whom the last one answered had time to come back, its sequences are in order, and the next ids of replies
 * are not mixed with prompts: llama.cpp would compute them by themselves all the same, and slower than alone where that is slower.
 */
export class BatchScheduler {
  readonly #options: BatchSchedulerOptions;
  readonly #replies = new ReplyBatches();
  #waiting: Waiting[] = [];
  #isBusy = false;
  #lastWereReplies = false;

  constructor(options: BatchSchedulerOptions) {
    this.#options = options;
  }

  /** From now on it decides when the context evaluates what. Throws as {@link aroundDecoding}. */
  schedule(context: LlamaContext): void {
    aroundDecoding(context, (decode) => (request, sample) => this.add(request, () => decode(request, sample)));
  }

  /** `evaluate` is called when it is the request's turn, with those of the same batch in one go. Resolves as it does. */
  add<T>({ sequenceId, tokens }: Piece, evaluate: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const start = async () => {
        try {
          resolve(await evaluate());
          return true;
        } catch (error) {
          reject(error);
          return false;
        }
      };
      this.#waiting.push({ sequenceId, tokens, start });
      if (this.#isBusy) return;
      this.#isBusy = true;
      this.#goOn();
    });
  }

  /** Once whoever can come at once is there. */
  #goOn(): void {
    setImmediate(() => {
      if (this.#waiting.length > 0) void this.#runBatch();
      else this.#isBusy = false;
    });
  }

  async #runBatch(): Promise<void> {
    const { clock } = this.#options;
    const batch = this.#next();
    const areReplies = batch.every(isReply);
    this.#lastWereReplies = areReplies;
    this.#waiting = this.#waiting.filter((request) => !batch.includes(request));
    batch.sort((a, b) => a.sequenceId - b.sequenceId);
    const startedMs = clock.monotonic();
    const evaluated = await Promise.all(batch.map((request) => request.start()));
    if (areReplies && evaluated.every(Boolean)) this.#replies.took(batch.length, clock.monotonic() - startedMs);
    this.#goOn();
  }

  /** The next ids of replies, or pieces of prompts; where both wait, in turn. */
  #next(): Waiting[] {
    const { batchTokens } = this.#options;
    const replies = this.#waiting.filter(isReply);
    const prompts = this.#waiting.filter((request) => !isReply(request));
    const most = Math.min(replies.length, batchTokens);
    if (prompts.length === 0) return replies.slice(0, this.#replies.choose(most));
    // Beside a piece of a prompt it matters little how they are evaluated, and much to each that it is among them.
    if (most > 0 && !this.#lastWereReplies) return replies.slice(0, most);
    const fitting: Waiting[] = [];
    let tokens = 0;
    for (const prompt of prompts) {
      tokens += prompt.tokens.length;
      if (fitting.length > 0 && tokens > batchTokens) break;
      fitting.push(prompt);
    }
    return fitting;
  }
}

function isReply({ tokens }: Piece): boolean {
  return tokens.length === 1;
}
