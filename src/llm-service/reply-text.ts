/**
 * The text of a reply as it may be shown while it is still being sampled: nothing that could yet turn out to be the
 * start of a stop word, and no half character. What is shown does not depend on how the text is cut into pieces.
 */
export class ReplyText {
  readonly #matchers: readonly StopMatcher[];
  /** Arrived, but not shown: the start of a stop word, or half a surrogate pair. */
  #held = '';
  #stoppedBy: string | undefined;

  /** Empty stop words are ignored, as llama-server does. */
  constructor(stop: readonly string[]) {
    this.#matchers = stop.filter((word) => word !== '').map((word) => new StopMatcher(word));
  }

  /** The stop word that ended the text. */
  get stoppedBy(): string | undefined {
    return this.#stoppedBy;
  }

  /**
   * Text that has become certain with `piece`. The word that is complete first ends the text, and of those complete at
   * the same character the longest; the text shown ends before it, and everything pushed afterwards is dropped.
   */
  push(piece: string): { readonly text: string; readonly stoppedBy?: string } {
    if (this.#stoppedBy !== undefined) return { text: '', stoppedBy: this.#stoppedBy };
    const text = this.#held + piece;
    for (let i = this.#held.length; i < text.length; i++) {
      const word = this.#advance(text.charCodeAt(i));
      if (word === undefined) continue;
      this.#stoppedBy = word;
      this.#held = '';
      return { text: wholeCharacters(text.slice(0, i + 1 - word.length)), stoppedBy: word };
    }
    const undecided = this.#matchers.reduce((longest, { matched }) => Math.max(longest, matched), 0);
    const certain = wholeCharacters(text.slice(0, text.length - undecided));
    this.#held = text.slice(certain.length);
    return { text: certain };
  }

  /** The rest, when nothing more will come: what was held back is not a stop word after all. */
  end(): string {
    const rest = wholeCharacters(this.#held);
    this.#held = '';
    return rest;
  }

  #advance(unit: number): string | undefined {
    let complete: string | undefined;
    for (const matcher of this.#matchers) {
      if (matcher.advance(unit) && matcher.word.length > (complete?.length ?? 0)) complete = matcher.word;
    }
    return complete;
  }
}

/** Knuth–Morris–Pratt over UTF-16 units: how much of the word the text so far ends with, one unit at a time. */
class StopMatcher {
  readonly word: string;
  matched = 0;
  /** For each prefix of the word, the length of its longest proper prefix that it also ends with. */
  readonly #fallback: readonly number[];

  constructor(word: string) {
    this.word = word;
    const fallback = [0];
    for (let i = 1, length = 0; i < word.length; i++) {
      while (length > 0 && word[i] !== word[length]) length = fallback[length - 1] as number;
      if (word[i] === word[length]) length++;
      fallback.push(length);
    }
    this.#fallback = fallback;
  }

  /** Whether the word is complete with this unit. It must not be asked again afterwards. */
  advance(unit: number): boolean {
    while (this.matched > 0 && this.word.charCodeAt(this.matched) !== unit) {
      this.matched = this.#fallback[this.matched - 1] as number;
    }
    if (this.word.charCodeAt(this.matched) === unit) this.matched++;
    return this.matched === this.word.length;
  }
}

/** Without the first half of a surrogate pair at the end. */
function wholeCharacters(text: string): string {
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xd800 && last < 0xdc00 ? text.slice(0, -1) : text;
}
