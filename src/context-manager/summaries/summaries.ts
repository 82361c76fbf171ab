import type { StoredMode } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import { SummaryNeeded } from '../modes/context-overflow.ts';
import type { Prompt } from '../modes/mode.ts';
import type { Retrieval } from '../retrieval/retrieval.ts';
import type { CachedSession } from '../sessions/session-cache.ts';
import type { TurnRequest } from '../turn/turn.ts';
import { SummariesAhead } from './summaries-ahead.ts';
import { type SummaryOwner, SummaryWriter, type SummaryWriterParts } from './summary-writer.ts';

/** One turn waits for so many at most: where turns are nearly as long as the window, each summary stands for few of them. */
const SUMMARIES_OF_A_TURN_MAX = 8;

export interface SummariesParts extends SummaryWriterParts {
  readonly retrieval: Retrieval;
}

interface Built {
  readonly mode: StoredMode;
  readonly prompt: Prompt;
}

interface Place {
  readonly session: CachedSession;
  readonly base: Turn | undefined;
}

/** Makes the most of full contexts: by summaries, ahead of need or while the turn waits that needs one, or by what is brought back. */
export class Summaries {
  readonly #parts: SummariesParts;
  readonly #writer: SummaryWriter;
  readonly #ahead: SummariesAhead;

  constructor(parts: SummariesParts) {
    this.#parts = parts;
    this.#writer = new SummaryWriter(parts);
    this.#ahead = new SummariesAhead(this.#writer, parts);
  }

  /**
   * The prompt of a turn, once there is room for it. `hasWaited`: for a summary. Throws what building it throws, and what
   * writing a summary throws; then nothing is left out, and nothing lost.
   */
  async build<At extends Place>(
    request: TurnRequest,
    at: At,
    owner: SummaryOwner,
  ): Promise<Built & { at: At; hasWaited: boolean }> {
    const { node } = this.#parts;
    let now = at;
    for (let made = 0; ; made++) {
      try {
        return { ...(await this.#build(request, now)), at: now, hasWaited: made > 0 };
      } catch (error) {
        const { base } = now;
        if (!(error instanceof SummaryNeeded) || base === undefined || made === SUMMARIES_OF_A_TURN_MAX) throw error;
        await this.#writer.write(now.session, { base, upTo: error.upTo }, owner);
        // Read again: a session that has left the cache meanwhile does not hear of what is written.
        now = { ...now, session: await node.records.load(now.session.key) };
      }
    }
  }

  /**
   * What a turn has the model read first: its prompt, or the one of the summary that it would wait for. Writes nothing. Throws what
   * building either throws.
   */
  async first(request: TurnRequest, at: Place): Promise<Built> {
    try {
      return await this.#build(request, at);
    } catch (error) {
      if (!(error instanceof SummaryNeeded) || at.base === undefined) throw error;
      return this.#writer.prompt(at.session, { base: at.base, upTo: error.upTo });
    }
  }

  /** A turn was answered, after which its context is so long. */
  answered(
    { overflow }: Pick<TurnRequest, 'overflow'>,
    { key }: Pick<CachedSession, 'key'>,
    { contextTokens, account }: { readonly contextTokens: number } & Pick<SummaryOwner, 'account'>,
  ): void {
    if (overflow === 'summarize') this.#ahead.grown({ key, account }, contextTokens);
  }

  #build(request: TurnRequest, at: Place): Promise<Built> {
    const { answering, retrieval } = this.#parts;
    const build = (asked: TurnRequest) => answering.build(asked, at);
    return request.overflow === 'retrieve' ? retrieval.build(request, at, build) : build(request);
  }
}
