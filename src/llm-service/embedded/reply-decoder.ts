import { appendTokens, type TokenId, type TokenSequence } from '../../domain/token-sequence.ts';

/** Text of `ids` where `before` came before them; incomplete UTF-8 at the end gives one U+FFFD. */
export type DetokenizeAfter = (ids: TokenSequence, before: TokenSequence) => string;

/** Tokenizers that mark spaces at word starts need to see what a piece follows; a few ids are enough. */
const BEFORE_TOKENS = 3;

/**
 * A character has at most four bytes, so a run of ids this long that always ends in half a character is not text at all:
 * it is shown as it is, because detokenizing it again with every id would take quadratic time.
 */
const PENDING_TOKENS_MAX = 16;

/** Ids, one at a time, to text without half characters. The texts concatenated are the text of all ids. */
export class ReplyDecoder {
  readonly #detokenize: DetokenizeAfter;
  #before: TokenSequence;
  /** Ids whose last character is incomplete, and how much of their text was already given out. */
  #pending: TokenId[] = [];
  #given = 0;

  constructor(detokenize: DetokenizeAfter, prompt: TokenSequence) {
    this.#detokenize = detokenize;
    this.#before = prompt.slice(-BEFORE_TOKENS);
  }

  /** Text that is complete with `id`; a character still incomplete when the reply ends is left out. */
  push(id: TokenId): string {
    this.#pending.push(id);
    const text = this.#detokenize(this.#pending, this.#before);
    const isIncomplete = text.endsWith('\ufffd') && this.#pending.length < PENDING_TOKENS_MAX;
    const complete = isIncomplete ? text.slice(0, -1) : text;
    const added = complete.slice(this.#given);
    if (isIncomplete) this.#given = complete.length;
    else this.#settle();
    return added;
  }

  #settle(): void {
    const before = [...this.#before];
    appendTokens(before, this.#pending);
    this.#before = before.slice(-BEFORE_TOKENS);
    this.#pending = [];
    this.#given = 0;
  }
}
