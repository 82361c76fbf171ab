import type MiniSearch from 'minisearch';
import type { ContextId } from '../../domain/identifiers.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import { TurnVectors } from './turn-vectors.ts';
import { wordsOf } from './words.ts';

/** What has less to do with a message than half of what the best has is not brought back: it shares a common word. */
const SCORE_SHARE = 0.5;

/** Words of a message that are searched for: more do not tell better what it is about. */
const QUERY_CHARS_MAX = 4_000;

/** Of each turn, as many are searched: a long one is told by its beginning, and taken in within a few milliseconds. */
export const INDEXED_CHARS_MAX = 8_192;

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
    const tokenize = (text: string) => wordsOf(text, INDEXED_CHARS_MAX);
    return new TurnIndex(new Search({ fields: ['text'], tokenize, processTerm: (term) => term }));
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

  /** By the first {@link INDEXED_CHARS_MAX} characters of its text; all of it is what is brought back. */
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
