import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { Clock, Logger } from '../../environment/environment.ts';
import { BoundedLine } from '../../waiting/bounded-line.ts';
import type { Warming, WarmingSpeed, WarmingStatus, WarmOutcome, WarmRequest } from '../llm-service.ts';
import { MeasuredRate } from '../measured-rate.ts';
import { Foreground } from './foreground.ts';
import type { WarmAccount } from './warm-account.ts';

/** A request that waits holds its prompt; who asks for more at once should choose among them first. */
export const WAITING_WARMINGS_MAX = 64;

/**
 * A generation that has waited for so many times what the chunk under way should take goes on without it: in another place, or as the
 * next in that one.
 */
export const STEP_WAIT_CHUNKS = 8;
/** Not before so long: a state may have to be written or read first, and what is done already is worth waiting for. */
export const STEP_WAIT_MIN_MS = 2_000;

/** What an engine does so that a context can be evaluated ahead of need in it. */
export interface WarmableEngine {
  /** Throws what a generation with such a prompt would. */
  check(prompt: TokenSequence): void;
  /**
   * Makes a place ready that holds as much of the prompt as there is; nothing that is worth more makes room for it, and nothing at all
   * once `stop` has aborted.
   */
  claim(request: WarmRequest, stop: AbortSignal): Promise<WarmPlace | 'no_room' | 'not_kept'>;
  /** The most ids that are evaluated at a time, when no generation has been under way for `quietMs`. */
  chunkTokens(quietMs: number): number;
  speed(): WarmingSpeed | undefined;
  forget(affinity: string): void;
  /** See {@link Warming.forgetAll}. */
  forgetAll(part: string): Promise<void>;
  /** See {@link Warming.dropWarm}. */
  dropWarm(affinity: string): void;
  /** See {@link Warming.expect}. */
  expect(affinity: string, chance: number): void;
}

/** Where a context is evaluated ahead of need; nobody else's meanwhile. */
export interface WarmPlace {
  /** Of the prompt's ids, how many it held when it was claimed, */
  readonly heldTokens: number;
  /** and how many of those it has been given back from state that is kept. */
  readonly restoredTokens: number;
  /** Evaluates the prompt's ids between the two places. */
  evaluate(span: { readonly from: number; readonly to: number }): Promise<ChunkEnd>;
  /** Whatever it holds stays. */
  release(): Promise<void>;
}

/** `given_up`: for a generation that has waited for long. `not_kept`: evaluated, but what was before it had been lost. */
export type ChunkEnd = 'evaluated' | 'given_up' | 'not_kept';

export interface ChunkedWarmingParts {
  readonly account: WarmAccount;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Work {
  readonly request: WarmRequest;
  /** Aborted when it should end: by its caller, by a close, or with what came to its session as the reason. */
  readonly stop: AbortSignal;
  end(how: Overtaken): void;
  overtakenBy(): Overtaken | undefined;
}

type Overtaken = 'taken' | 'forgotten';
type Counted = Omit<WarmOutcome, 'end'>;

const NOTHING: Counted = { cachedTokens: 0, restoredTokens: 0, evaluatedTokens: 0 };

/**
 * Warming as every engine has it: one context at a time, chunk by chunk, only while no generation is under way. With each generation
 * that comes it gives its place back, and claims it again afterwards, where that still holds what was done.
 */
export class ChunkedWarming implements Warming {
  readonly account: WarmAccount;
  readonly #foreground: Foreground;
  readonly #engine: WarmableEngine;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #chunks = new MeasuredRate();
  /** Ids of the chunk under way. */
  #chunkTokens = 0;
  readonly #closing = new AbortController();
  readonly #works = new Set<Work>();
  readonly #line = new BoundedLine(WAITING_WARMINGS_MAX, (waiting) => new Error(`${waiting} wait already`));
  #isRunning = false;

  constructor(engine: WarmableEngine, parts: ChunkedWarmingParts) {
    this.#engine = engine;
    this.account = parts.account;
    this.#foreground = new Foreground(parts.clock);
    this.#logger = parts.logger;
    this.#clock = parts.clock;
  }

  /**
   * Every generation comes by here: resolves when nothing is being evaluated ahead of need any more, or when that takes much longer than
   * chunks do. What it returns ends the generation. Throws `signal.reason` when that is aborted before.
   */
  enter(affinity: string | undefined, signal: AbortSignal): Promise<() => void> {
    this.#overtake((other) => other === affinity, 'taken');
    return this.#foreground.enter({ signal, waitMs: () => this.#waitMs() });
  }

  async warm(request: WarmRequest, signal: AbortSignal): Promise<WarmOutcome> {
    this.#engine.check(request.prompt);
    const overtaken = new AbortController();
    const work: Work = {
      request,
      stop: AbortSignal.any([signal, this.#closing.signal, overtaken.signal]),
      end: (how) => overtaken.abort(how),
      overtakenBy: () => (overtaken.signal.aborted ? overtaken.signal.reason : undefined),
    };
    if (this.#works.size > WAITING_WARMINGS_MAX) return { ...NOTHING, end: 'no_room' };
    this.#works.add(work);
    try {
      if (!(await this.#isNext(work))) return { ...NOTHING, end: work.overtakenBy() ?? 'stopped' };
      return await this.#run(work).finally(() => {
        this.#isRunning = this.#line.serveNext();
      });
    } finally {
      this.#works.delete(work);
    }
  }

  speed(): WarmingSpeed | undefined {
    return this.#engine.speed();
  }

  status(): WarmingStatus {
    return this.account.status();
  }

  forget(affinity: string): void {
    this.#overtake((other) => other === affinity, 'forgotten');
    this.#engine.forget(affinity);
  }

  forgetAll(part: string): Promise<void> {
    this.#overtake((affinity) => affinity.includes(part), 'forgotten');
    return this.#engine.forgetAll(part);
  }

  dropWarm(affinity: string): void {
    this.#engine.dropWarm(affinity);
  }

  expect(affinity: string, chance: number): void {
    this.#engine.expect(affinity, chance);
  }

  /** Ends all warming; resolves when none is under way. */
  async close(): Promise<void> {
    this.#closing.abort();
    // Whatever step is under way comes to its end.
    (await this.#foreground.enter())();
  }

  #overtake(isMeant: (affinity: string) => boolean, how: Overtaken): void {
    for (const work of this.#works) if (isMeant(work.request.affinity)) work.end(how);
  }

  /** False when it is stopped before its turn comes. */
  async #isNext({ stop }: Work): Promise<boolean> {
    if (stop.aborted) return false;
    if (this.#isRunning) return this.#line.join(stop).then(...yesOrNo);
    this.#isRunning = true;
    return true;
  }

  async #run(work: Work): Promise<WarmOutcome> {
    let counted: Counted | undefined;
    const count = (now: Counted) => {
      counted = counted && { ...counted, evaluatedTokens: counted.evaluatedTokens + now.evaluatedTokens };
      counted ??= now;
    };
    const ended = (end: WarmOutcome['end']): WarmOutcome => ({ ...(counted ?? NOTHING), end });
    try {
      while (!work.stop.aborted) {
        const end = await this.#foreground.whenQuiet(work.stop, () => this.#evaluate(work, count));
        if (end !== undefined) return ended(work.overtakenBy() === 'forgotten' ? 'forgotten' : end);
      }
      return ended(work.overtakenBy() ?? 'stopped');
    } catch (error) {
      if (work.stop.aborted) return ended(work.overtakenBy() ?? 'stopped');
      this.#logger.warn('llm.warming_failed', { promptTokens: work.request.prompt.length }, error);
      return ended('failed');
    }
  }

  /** Goes on until it is done, or a generation comes, or it is stopped: then `undefined`. */
  async #evaluate(
    { request, stop }: Work,
    count: (counted: Counted) => void,
  ): Promise<'warm' | 'no_room' | 'not_kept' | undefined> {
    const place = await this.#engine.claim(request, stop);
    if (typeof place === 'string') return stop.aborted ? undefined : place;
    const { heldTokens, restoredTokens } = place;
    const promptTokens = request.prompt.length;
    let from = heldTokens;
    try {
      while (from < promptTokens && !stop.aborted && this.#foreground.isQuiet) {
        const to = Math.min(promptTokens, from + this.#engine.chunkTokens(this.#foreground.quietMs));
        const chunk = await this.#timed(place, { from, to });
        if (chunk === 'given_up') break;
        from = to;
        if (chunk === 'not_kept' && from < promptTokens) return chunk;
      }
      if (from === promptTokens) return 'warm';
      if (!this.#foreground.isQuiet) this.account.preempted();
      return undefined;
    } finally {
      count({ cachedTokens: heldTokens - restoredTokens, restoredTokens, evaluatedTokens: from - heldTokens });
      await place.release();
    }
  }

  async #timed(place: WarmPlace, span: { readonly from: number; readonly to: number }): Promise<ChunkEnd> {
    const startedMs = this.#clock.monotonic();
    this.#chunkTokens = span.to - span.from;
    try {
      const end = await place.evaluate(span);
      this.#chunks.took(this.#chunkTokens, this.#clock.monotonic() - startedMs);
      return end;
    } finally {
      this.#chunkTokens = 0;
    }
  }

  #waitMs(): number {
    return Math.max(STEP_WAIT_MIN_MS, STEP_WAIT_CHUNKS * (this.#chunks.msFor(this.#chunkTokens) ?? 0));
  }
}

const yesOrNo = [() => true, () => false] as const;
