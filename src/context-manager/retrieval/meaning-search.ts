import { DiscedgeError } from '../../domain/errors.ts';
import type { ContextId } from '../../domain/identifiers.ts';
import type { Environment } from '../../environment/environment.ts';
import type { Embedder } from '../../llm-service/llm-service.ts';
import { within } from '../../waiting/within.ts';
import type { IndexedTurn, TurnIndex } from './turn-index.ts';

/** What a turn waits for its search at most; then it is searched by words. */
const WAIT_MS = 1_000;
/** What comes later than that is kept for the turns to come, up to here. */
const REQUEST_MS = 30_000;
/** Turns whose vectors one request asks for, beside the message's; the rest are asked for by later turns. */
const TURNS_AT_ONCE = 16;
/** Requests under way at once, of all sessions of a model: a slow server does not gather them. */
const REQUESTS_MAX = 4;
/** A server that fails is left alone for so long. */
const PAUSE_MS = 30_000;
/** Of each text: no more ids than a llama-server takes in one piece (512 by default), were each byte one. */
const TEXT_BYTES_MAX = 500;

/**
 * Finds turns by what they are about, with the vectors of an {@link Embedder}. It is asked once for a turn, for the message and the
 * turns that have none yet, and nothing that it does or leaves undone fails or long delays one.
 */
export class MeaningSearch {
  readonly #embedder: Embedder;
  readonly #environment: Pick<Environment, 'clock' | 'logger'>;
  #underWay = 0;
  #pausedUntilMs = Number.NEGATIVE_INFINITY;

  constructor(embedder: Embedder, environment: Pick<Environment, 'clock' | 'logger'>) {
    this.#embedder = embedder;
    this.#environment = environment;
  }

  /** Those among `turns` of an index that are nearest to a text, the nearest first; `undefined` where that cannot be told now. */
  async nearest(index: TurnIndex, text: string, turns: readonly IndexedTurn[]): Promise<ContextId[] | undefined> {
    const { clock } = this.#environment;
    if (this.#underWay >= REQUESTS_MAX || clock.monotonic() < this.#pausedUntilMs) return undefined;
    const vector = await within({ clock, waitMs: WAIT_MS }, this.#ask(index, text, turns), () => undefined);
    return vector && index.vectors.nearest(vector, new Set(turns.map(({ turn }) => turn.hash)));
  }

  /** The text's vector; those of turns go into the index, whenever they come. */
  async #ask(
    { vectors }: TurnIndex,
    text: string,
    turns: readonly IndexedTurn[],
  ): Promise<readonly number[] | undefined> {
    const { clock, logger } = this.#environment;
    // The newest first: they are most often meant.
    const asked = turns.filter(({ turn }) => !vectors.has(turn.hash)).slice(-TURNS_AT_ONCE);
    const late = new AbortController();
    const cancelTimer = clock.after(REQUEST_MS, () => late.abort(tooLate()));
    this.#underWay++;
    try {
      const inputs = [text, ...asked.map((indexed) => indexed.text)].map(beginningOf);
      const { vectors: made } = await this.#embedder.embed(inputs, late.signal);
      for (const [at, { turn }] of asked.entries()) vectors.add(turn.hash, made[at + 1] ?? []);
      return made[0];
    } catch (error) {
      this.#pausedUntilMs = clock.monotonic() + PAUSE_MS;
      logger.warn('retrieval_by_words', { code: error instanceof DiscedgeError ? error.code : 'internal_error' });
      return undefined;
    } finally {
      cancelTimer();
      this.#underWay--;
    }
  }
}

function beginningOf(text: string): string {
  // Ends before a character that has no room.
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(TEXT_BYTES_MAX));
  return text.slice(0, read);
}

function tooLate(): DiscedgeError {
  return new DiscedgeError('llm_timeout', `no embeddings in ${REQUEST_MS} ms`);
}
