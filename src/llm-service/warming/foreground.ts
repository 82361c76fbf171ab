import type { Clock } from '../../environment/environment.ts';
import { abortable } from '../../waiting/abortable.ts';
import { within } from '../../waiting/within.ts';

/** How long a generation waits for a step that is under way. */
export interface StepWait {
  /** Ends the wait, and the generation. */
  readonly signal: AbortSignal;
  /** After so many milliseconds it goes on beside the step. */
  readonly waitMs: () => number;
}

/** Keeps what is done ahead of need out of the generations' way. */
export class Foreground {
  readonly #clock: Clock;
  /** Since when no generation has been under way, while none is. */
  #quietSinceMs: number;
  #generations = 0;
  #behind: Promise<void> | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#quietSinceMs = clock.monotonic();
  }

  /** Whether no generation is under way, */
  get isQuiet(): boolean {
    return this.#generations === 0;
  }

  /** and for how long none has been. */
  get quietMs(): number {
    return this.isQuiet ? this.#clock.monotonic() - this.#quietSinceMs : 0;
  }

  /**
   * A generation comes. Resolves when what is done behind has come to the end of its step, or has taken too long to; what it returns
   * ends the generation. Throws `signal.reason`, and has ended the generation, when that is aborted before.
   */
  async enter(wait?: StepWait): Promise<() => void> {
    this.#generations++;
    let hasLeft = false;
    const leave = () => {
      if (hasLeft) return;
      hasLeft = true;
      this.#generations--;
      if (!this.isQuiet) return;
      this.#quietSinceMs = this.#clock.monotonic();
      for (const wake of [...this.#waiting]) wake();
    };
    const step = this.#behind;
    try {
      await (step === undefined || wait === undefined ? step : this.#ended(step, wait));
    } catch (reason) {
      leave();
      throw reason;
    }
    return leave;
  }

  /** Does a step of work once no generation is under way; generations that come wait for that. `undefined` when `signal` aborts before. */
  async whenQuiet<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T | undefined> {
    while (!this.isQuiet && !signal.aborted) await this.#quiet(signal);
    if (signal.aborted) return undefined;
    const step = work();
    const ended = step.then(
      () => {},
      () => {},
    );
    this.#behind = ended;
    try {
      return await step;
    } finally {
      if (this.#behind === ended) this.#behind = undefined;
    }
  }

  async #ended(step: Promise<void>, { signal, waitMs }: StepWait): Promise<void> {
    await within({ clock: this.#clock, waitMs: waitMs() }, abortable(step, signal), () => undefined);
  }

  #quiet(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}
