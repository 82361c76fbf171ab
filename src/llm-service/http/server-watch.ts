import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../environment/environment.ts';
import { abortable } from '../../waiting/abortable.ts';
import { isLlmFailure } from '../llm-service.ts';

export interface ServerWatchOptions<State> {
  /** What the server serves now, as far as a session would notice a change. */
  readonly ask: () => Promise<State>;
  /** What it served at the start. */
  readonly state: State;
  readonly servesAnother: () => unknown;
  /** One heard from within this time is still the same; infinite where only a failure makes it doubtful. */
  readonly sureMs: number;
  readonly clock: Clock;
  /** What was learned from the server may be another's. */
  readonly onDoubt: () => void;
}

/** A server that was not heard from, or that failed, may be another by now: one that reads other things into the same ids. */
export class ServerWatch<State> {
  readonly #options: ServerWatchOptions<State>;
  /** When it was last known to serve what it did at the start; −∞ in doubt. */
  #sameAtMs: number;
  /** A look that is under way, for all who wait for it. */
  #look: Promise<void> | undefined;

  constructor(options: ServerWatchOptions<State>) {
    this.#options = options;
    this.#sameAtMs = options.clock.monotonic();
  }

  /** Asks nothing while it is sure. Throws `llm_unavailable` where another model is served by now. */
  async expectSame(signal?: AbortSignal): Promise<void> {
    if (this.#isSureStill()) return;
    this.#look ??= this.#compare();
    await (signal === undefined ? this.#look : abortable(this.#look, signal));
  }

  /** Looks, however lately it was heard from. */
  async lookAgain(): Promise<void> {
    this.#sameAtMs = -Infinity;
    try {
      await this.expectSame();
    } catch (error) {
      throw this.noticed(error);
    }
  }

  /** What the server answers to `ask`: the same before, as it is told texts, and still when the answer is there. */
  async told<T>(ask: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      await this.expectSame(signal);
      const answer = await ask();
      await this.expectSame(signal);
      return answer;
    } catch (error) {
      // A part of the answer may have been learned, and nobody has looked whose it was.
      if (!this.#isSureStill()) this.#doubt();
      throw this.noticed(error);
    }
  }

  /** A reply has come to its end. */
  heard(): void {
    if (this.#sameAtMs !== -Infinity) this.#sameAtMs = this.#options.clock.monotonic();
  }

  /** The same error; one of the server's makes it doubtful. */
  noticed(error: unknown): unknown {
    if (isLlmFailure(error)) this.#doubt();
    return error;
  }

  #isSureStill(): boolean {
    return this.#options.clock.monotonic() - this.#sameAtMs < this.#options.sureMs;
  }

  #doubt(): void {
    this.#sameAtMs = -Infinity;
    // What a look under way has seen may be from before the failure.
    this.#look = undefined;
    this.#options.onDoubt();
  }

  #compare(): Promise<void> {
    const { ask, state, servesAnother, clock } = this.#options;
    const startMs = clock.monotonic();
    const isLatest = () => this.#look === look;
    const compare = async () => {
      const now = await ask();
      if (!isDeepStrictEqual(now, state)) {
        this.#doubt();
        throw servesAnother();
      }
      if (isLatest()) this.#sameAtMs = startMs;
    };
    const look = compare().finally(() => {
      if (isLatest()) this.#look = undefined;
    });
    return look;
  }
}
