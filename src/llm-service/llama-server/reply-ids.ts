import { appendTokens, type TokenId, type TokenSequence } from '../../domain/token-sequence.ts';

export interface StreamedChunk {
  readonly text: string;
  /** The ids that the server shows with it: at most the last of those it has sampled since the chunk before. */
  readonly ids: TokenSequence;
  /** Ids sampled so far. */
  readonly predicted: number;
}

export interface StreamEnd {
  readonly predicted: number;
  readonly stop: 'eos' | 'limit' | 'word';
  readonly stoppingWord: string;
}

export interface ReplyIdsOptions {
  /** Ids of a text, special tokens not parsed. */
  readonly tokenize: (text: string) => Promise<TokenId[]>;
  readonly endOfGeneration: ReadonlySet<TokenId>;
  /** The model's own end token, where it is known. */
  readonly eos: TokenId | undefined;
}

/**
 * The ids of a reply that llama-server streams. An event shows only the last id of its chunk, and while a character is
 * incomplete there is no event at all; but each event counts the ids sampled so far, so one whose count jumps names the
 * stretch of text that hides the rest. That text is tokenized again, and believed when it gives as many ids as are
 * missing and the known ones in their places.
 *
 * Takes every event in order, then the end.
 */
export class ReplyIds {
  readonly #options: ReplyIdsOptions;
  readonly #ids: TokenId[] = [];
  #isExact = true;
  #predicted = 0;
  /** Sampled since the ids last settled. */
  #stretch: Stretch = emptyStretch();

  constructor(options: ReplyIdsOptions) {
    this.#options = options;
  }

  /** What has settled so far; grows. */
  get ids(): TokenSequence {
    return this.#ids;
  }

  /** Whether all of it is what the model sampled. */
  get isExact(): boolean {
    return this.#isExact;
  }

  /** False when the event contradicts those before it. */
  async push(chunk: StreamedChunk): Promise<boolean> {
    const sampled = chunk.predicted - this.#predicted;
    if (sampled < chunk.ids.length || (sampled > 0 && chunk.ids.length === 0)) return false;
    // Not earlier: had it been the last one, its text would have gone on with the stop word that only the end names.
    if (this.#stretch.text !== '') await this.#settle(this.#stretch.text);

    const stretch = this.#stretch;
    stretch.length += sampled;
    const firstAt = stretch.length - chunk.ids.length;
    for (const [i, id] of chunk.ids.entries()) stretch.known.push({ id, at: firstAt + i });
    stretch.text += chunk.text;
    this.#predicted = chunk.predicted;
    if (chunk.text !== '' && isWhole(stretch)) await this.#settle(stretch.text);
    return true;
  }

  /**
   * Settles the rest. `unshown` are ids whose text the server has kept back for a stop word that did not come.
   * `undefined` when the end contradicts the events.
   */
  async end(end: StreamEnd): Promise<{ readonly unshown: TokenSequence } | undefined> {
    const lost = end.predicted - this.#predicted;
    if (lost < 0) return undefined;
    const stretch = this.#stretch;
    let unshown: TokenSequence = [];
    if (end.stop === 'word') await this.#settle(stretch.text + end.stoppingWord);
    else if (stretch.text !== '') await this.#settle(stretch.text);
    else unshown = this.#settleWithoutText();
    if (lost > 0) {
      // Half a character, which has no text to find its ids by and is not shown either: the reply goes on without it.
      this.#isExact = false;
      if (end.stop === 'eos' && this.#options.eos !== undefined) this.#ids.push(this.#options.eos);
    }
    return { unshown };
  }

  async #settle(text: string): Promise<void> {
    const stretch = this.#stretch;
    if (isWhole(stretch)) this.#take(knownIds(stretch));
    else this.#take(await this.#recover(stretch, text));
  }

  #settleWithoutText(): TokenSequence {
    const stretch = this.#stretch;
    const ids = knownIds(stretch).filter((_, i) => stretch.known[i]?.at === i);
    if (!isWhole(stretch)) this.#isExact = false;
    this.#take(ids);
    return ids.filter((id) => !this.#options.endOfGeneration.has(id));
  }

  #take(ids: TokenSequence): void {
    appendTokens(this.#ids, ids);
    this.#stretch = emptyStretch();
  }

  async #recover({ known, length }: Stretch, text: string): Promise<TokenSequence> {
    const last = known.at(-1);
    // The token that ends a reply has no text.
    const ending = last !== undefined && last.at === length - 1 && this.#options.endOfGeneration.has(last.id);
    const withEnding = (ids: TokenId[]): TokenSequence => (ending ? [...ids, last.id] : ids);

    const alone = withEnding(await this.#options.tokenize(text));
    const fits = (ids: TokenSequence) => ids.length === length && known.every(({ id, at }) => ids[at] === id);
    if (fits(alone)) return alone;
    const inside = withEnding(await this.#tokenizeInside(text));
    if (fits(inside)) return inside;
    this.#isExact = false;
    return alone;
  }

  /** Ids of a text in the middle of another: some tokenizers put a space before the beginning of a text. */
  async #tokenizeInside(text: string): Promise<TokenId[]> {
    const { tokenize } = this.#options;
    const before = await tokenize(ANCHOR);
    const both = await tokenize(ANCHOR + text);
    return before.every((id, i) => both[i] === id) ? both.slice(before.length) : [];
  }
}

/** A text that tokenizers do not join with what follows it. */
const ANCHOR = '\n';

interface Stretch {
  text: string;
  readonly known: { readonly id: TokenId; readonly at: number }[];
  /** Known and hidden ids together. */
  length: number;
}

function emptyStretch(): Stretch {
  return { text: '', known: [], length: 0 };
}

function isWhole({ known, length }: Stretch): boolean {
  return known.length === length;
}

function knownIds({ known }: Stretch): TokenId[] {
  return known.map(({ id }) => id);
}
