import { appendTokens, commonPrefixLength, type TokenSequence } from '../../../domain/token-sequence.ts';
import type { LlmService } from '../../llm-service.ts';
import type { WrittenText } from './call-texts.ts';

/** Where a piece stands: at the start of the prompt, or after text that is tokenized already. */
export type Place = 'start' | 'after-text';

/**
 * How a content is tokenized so that it reads on from the literal before it: `alone`; `spaced`: with the literal's last
 * space, as vocabularies have words with a leading space; `continued`: without the space that a SentencePiece tokenizer
 * puts before a text of its own.
 */
export type ContentStyle = 'alone' | 'spaced' | 'continued';

/** A literal's ids and how the content after it is tokenized. */
export interface Seam {
  readonly ids: TokenSequence;
  readonly style: ContentStyle;
}

/** A content, and how it is to be tokenized. */
export interface AskedPiece {
  readonly texts: readonly WrittenText[];
  readonly style: ContentStyle;
}

/** Contents that were tokenized, by what they are. */
export type KnownPieces = Map<string, Promise<TokenSequence>>;

/** Literals of one template are few; raw mode adds those that carry a message's outer white space. */
const SEAMS_MAX = 256;
/** Tokenize calls under way at once: with a llama-server each is an HTTP request. */
const TOKENIZE_PARALLEL = 16;
const PROBE = 'Hello';
/** Stands before a piece that must not begin like a text of its own; no SentencePiece vocabulary merges it onwards. */
const ANCHOR = '\n';

/**
 * Tokenizes a prompt piece by piece: template text with special tokens, message contents without, such that for
 * ordinary text the pieces' ids are those of the whole text. Ids of template text are kept.
 */
export class PieceTokenizer {
  readonly #tokenize: LlmService['tokenize'];
  readonly #anchorIds: TokenSequence;
  readonly #addsSpace: boolean;
  readonly #seams = new Map<string, Promise<Seam>>();

  private constructor(tokenize: LlmService['tokenize'], options: { anchorIds: TokenSequence; addsSpace: boolean }) {
    this.#tokenize = tokenize;
    this.#anchorIds = options.anchorIds;
    this.#addsSpace = options.addsSpace;
  }

  static async create(tokenize: LlmService['tokenize']): Promise<PieceTokenizer> {
    const anchorIds = await tokenize(ANCHOR, { parseSpecial: false });
    const alone = await tokenize(PROBE, { parseSpecial: false });
    const anchored = await tokenize(ANCHOR + PROBE, { parseSpecial: false });
    const addsSpace = startsWith(anchored, anchorIds) && !equal(anchored.slice(anchorIds.length), alone);
    return new PieceTokenizer(tokenize, { anchorIds, addsSpace });
  }

  /** Ids of template text. The ids are shared: do not change them. */
  async literal(text: string, place: Place): Promise<TokenSequence> {
    if (text === '') return [];
    return place === 'after-text' ? this.#continued(text, true) : this.#tokenize(text, { parseSpecial: true });
  }

  /** Ids of template text that a content follows. Kept, up to {@link SEAMS_MAX} of them. */
  seam(text: string, place: Place): Promise<Seam> {
    const key = `${place}\n${text}`;
    let seam = this.#seams.get(key);
    if (seam === undefined) {
      seam = this.#findSeam(text, place);
      seam.catch(() => this.#seams.delete(key));
      this.#seams.set(key, seam);
      if (this.#seams.size > SEAMS_MAX) this.#seams.delete(this.#seams.keys().next().value as string);
    }
    return seam;
  }

  /** Ids of message content: control-token text in it becomes ordinary ids. */
  async content(text: string, style: ContentStyle): Promise<TokenSequence> {
    if (style === 'spaced') return this.#tokenize(` ${text}`, { parseSpecial: false });
    if (text === '') return [];
    return style === 'continued' ? this.#continued(text, false) : this.#tokenize(text, { parseSpecial: false });
  }

  /** A content of several texts, of which some are the template's own words, with its control tokens. */
  async written(texts: readonly WrittenText[], style: ContentStyle): Promise<TokenSequence> {
    const [first, ...others] = texts;
    if (first === undefined) return [];
    if (others.length === 0) return this.#piece(first, style);
    const ids = [...(await this.#piece(first, style))];
    for (const text of others) appendTokens(ids, await this.#piece(text, 'continued'));
    return ids;
  }

  #piece({ text, isTemplate }: WrittenText, style: ContentStyle): Promise<TokenSequence> {
    return isTemplate ? this.literal(text, 'after-text') : this.content(text, style);
  }

  /** {@link written} of many, in order, a few at a time; with `known` none that is in there, and the others are from then on. */
  async contents(pieces: readonly AskedPiece[], known?: KnownPieces): Promise<TokenSequence[]> {
    const idsOf = (piece: AskedPiece) =>
      known === undefined ? this.written(piece.texts, piece.style) : this.#once(piece, known);
    const all: TokenSequence[] = [];
    for (let i = 0; i < pieces.length; i += TOKENIZE_PARALLEL) {
      const some = pieces.slice(i, i + TOKENIZE_PARALLEL);
      all.push(...(await Promise.all(some.map(idsOf))));
    }
    return all;
  }

  #once({ texts, style }: AskedPiece, known: KnownPieces): Promise<TokenSequence> {
    const key = JSON.stringify([style, texts]);
    const ids = known.get(key) ?? this.written(texts, style);
    known.set(key, ids);
    return ids;
  }

  /** Takes the first way of cutting literal and content apart that gives the ids of both together. */
  async #findSeam(text: string, place: Place): Promise<Seam> {
    const whole = await this.literal(text + PROBE, place);
    const fits = async (ids: TokenSequence, style: ContentStyle): Promise<boolean> =>
      equal(whole, [...ids, ...(await this.content(PROBE, style))]);
    const ids = await this.literal(text, place);
    if (await fits(ids, 'alone')) return { ids, style: 'alone' };
    if (await fits(ids, 'continued')) return { ids, style: 'continued' };
    if (text.endsWith(' ')) {
      const shorter = await this.literal(text.slice(0, -1), place);
      if (await fits(shorter, 'alone')) return { ids: shorter, style: 'alone' };
      if (await fits(shorter, 'spaced')) return { ids: shorter, style: 'spaced' };
    }
    return { ids, style: 'alone' };
  }

  async #continued(text: string, parseSpecial: boolean): Promise<TokenSequence> {
    if (!this.#addsSpace) return this.#tokenize(text, { parseSpecial });
    const ids = await this.#tokenize(ANCHOR + text, { parseSpecial });
    if (startsWith(ids, this.#anchorIds)) return ids.slice(this.#anchorIds.length);
    return this.#tokenize(text, { parseSpecial });
  }
}

export function startsWith(ids: TokenSequence, start: TokenSequence): boolean {
  return commonPrefixLength(ids, start) === start.length;
}

function equal(a: TokenSequence, b: TokenSequence): boolean {
  return a.length === b.length && startsWith(a, b);
}
