import type MiniSearch from 'minisearch';
import type { ContextId } from '../../domain/identifiers.ts';
import type { Turn } from '../../domain/session-history.ts';
import { TurnVectors } from './turn-vectors.ts';

/** What has less to do with a message than half of what the best has is not brought back: it shares a common word. */
const SCORE_SHARE = 0.5;

/** Words of a message that are searched for: more do not tell better what it is about. */
const QUERY_CHARS_MAX = 4_000;

/** In any language: where scripts have no spaces, Unicode's rules and ICU's dictionaries say where words end. */
const WORDS = new Intl.Segmenter(undefined, { granularity: 'word' });

/** What was said in a turn, as it may be brought back. */
export interface IndexedTurn {
  readonly turn: Turn;
  readonly text: string;
}

/** The turns of one session that can be searched, by words (BM25+). A turn is read and taken in once. */
export class TurnIndex {
  readonly #search: MiniSearch<{ id: ContextId; text: string }>;
  readonly #turns = new Map<ContextId, IndexedTurn>();
  /** Of those turns that have one by now. */
  readonly vectors = new TurnVectors();
  #chars = 0;

  private constructor(search: MiniSearch<{ id: ContextId; text: string }>) {
    this.#search = search;
  }

  static async create(): Promise<TurnIndex> {
    // Only where something is searched.
    const { default: Search } = await import('minisearch');
    return new TurnIndex(new Search({ fields: ['text'], tokenize: wordsOf, processTerm: (term) => term }));
  }

  /** Of all texts in it. */
  get chars(): number {
    return this.#chars;
  }

  has({ hash }: Turn): boolean {
    return this.#turns.has(hash);
  }

  get(hash: ContextId): IndexedTurn | undefined {
    return this.#turns.get(hash);
  }

  add(indexed: IndexedTurn): void {
    const { turn, text } = indexed;
    this.#turns.set(turn.hash, indexed);
    this.#chars += text.length;
    this.#search.add({ id: turn.hash, text });
  }

  /** Those among `within` that have most to do with a text, the best first; of equal ones the later. */
  best(text: string, within: ReadonlySet<ContextId>): IndexedTurn[] {
    const found = this.#search.search(text.slice(0, QUERY_CHARS_MAX), { filter: ({ id }) => within.has(id) });
    const least = SCORE_SHARE * Math.max(0, ...found.map(({ score }) => score));
    return found
      .filter(({ score }) => score >= least)
      .map(({ id, score }) => ({ indexed: this.#turns.get(id) as IndexedTurn, score }))
      .sort((a, b) => b.score - a.score || b.indexed.turn.record.turn - a.indexed.turn.record.turn)
      .map(({ indexed }) => indexed);
  }
}

function wordsOf(text: string): string[] {
  const words: string[] = [];
  for (const { segment, isWordLike } of WORDS.segment(text.normalize('NFKC').toLowerCase())) {
    if (isWordLike) words.push(segment);
  }
  return words;
}
