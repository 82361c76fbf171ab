import { DiscedgeClientError } from '../errors.ts';
import type { Completion, Reply } from './reply.ts';

/** Gives out pieces of a reply's text; a new attempt starts the text again. */
export interface ReplyWriter {
  /** Called once per attempt, before its first piece. */
  restart(): void;
  write(text: string): void;
}

/**
 * A reply while it is written: iterate it once for the text as it comes, or await `reply` for all of it; both at once
 * are fine. Leaving the loop early cancels the turn.
 *
 * A connection that breaks is taken up again without a gap or a repetition, since the node replays the turn. Should the
 * turn be answered anew and differ from what has been given out already (it was lost with its node), the loop throws
 * `reply_changed`, while `reply` still resolves to the reply that counts.
 */
export class ReplyStream<Answer extends Completion = Reply> implements AsyncIterable<string> {
  readonly reply: Promise<Answer>;
  readonly #abandon: () => void;
  readonly #pieces: string[] = [];
  #given = '';
  #position = 0;
  #settled = false;
  #failure: unknown;
  #failed = false;
  #wake: () => void = () => {};

  /** `run` makes the turn; `abandon` is called when the reader leaves before its end. */
  constructor(run: (writer: ReplyWriter) => Promise<Answer>, abandon: () => void) {
    this.#abandon = abandon;
    this.reply = run({ restart: () => this.#restart(), write: (text) => this.#write(text) });
    this.reply.then(
      () => this.#settle(),
      (error) => this.#fail(error),
    );
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    try {
      for (;;) {
        const piece = this.#pieces.shift();
        if (piece !== undefined) yield piece;
        else if (this.#failed) throw this.#failure;
        else if (this.#settled) return;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      if (!this.#settled && !this.#failed) {
        this.#abandon();
        // Only then is the session free for its next turn.
        await this.reply.catch(() => {});
      }
    }
  }

  #restart(): void {
    this.#position = 0;
  }

  #write(text: string): void {
    if (this.#failed) return;
    const repeated = this.#given.slice(this.#position, this.#position + text.length);
    this.#position += text.length;
    if (!text.startsWith(repeated)) {
      this.#fail(changed());
      return;
    }
    const fresh = text.slice(repeated.length);
    if (fresh === '') return;
    this.#given += fresh;
    this.#pieces.push(fresh);
    this.#wake();
  }

  #settle(): void {
    // The last attempt ended before what an earlier one had given out.
    if (this.#position < this.#given.length) this.#fail(changed());
    this.#settled = true;
    this.#wake();
  }

  #fail(error: unknown): void {
    if (!this.#failed) this.#failure = error;
    this.#failed = true;
    this.#wake();
  }
}

function changed(): DiscedgeClientError {
  return new DiscedgeClientError('the turn was answered again, and differently from what was already given out', {
    code: 'reply_changed',
  });
}
