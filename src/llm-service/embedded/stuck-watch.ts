import { DiscedgeError } from '../../domain/errors.ts';
import type { Clock } from '../../environment/environment.ts';

/** A prefill chunk on a slow machine takes about this long, and ends with its sequence in order. */
export const ABORT_GRACE_MS = 2_000;

/**
 * Watches one evaluation, which nothing can interrupt while it is inside llama.cpp: decides when its reader has waited
 * long enough.
 */
export class StuckWatch {
  /** Rejects, never resolves: with `llm_timeout`, or, when the caller's abort is not heeded in time, with its reason. */
  readonly gaveUp: Promise<never>;
  readonly #clock: Clock;
  readonly #caller: AbortSignal;
  readonly #idleTimeoutMs: number;
  readonly #stopping = new AbortController();
  #giveUp: (reason: unknown) => void = () => {};
  #progressedMs: number;
  #cancelTimer: () => void;

  constructor(parts: { readonly clock: Clock; readonly caller: AbortSignal; readonly idleTimeoutMs: number }) {
    this.#clock = parts.clock;
    this.#caller = parts.caller;
    this.#idleTimeoutMs = parts.idleTimeoutMs;
    this.gaveUp = new Promise((_, reject) => {
      this.#giveUp = reject;
    });
    // Whoever waits is told; a rejection after that must not count as unhandled.
    this.gaveUp.catch(() => undefined);
    this.#progressedMs = this.#clock.monotonic();
    this.#cancelTimer = this.#clock.after(this.#idleTimeoutMs, this.#onTimer);
    if (this.#caller.aborted) this.#onAbort();
    else this.#caller.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Aborted when the evaluation has to stop: by the caller, or because nothing came for too long. */
  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  /** An id or a prefill chunk has come. */
  readonly progressed = (): void => {
    this.#progressedMs = this.#clock.monotonic();
  };

  end(): void {
    this.#cancelTimer();
    this.#caller.removeEventListener('abort', this.#onAbort);
  }

  /** Set anew only when it is due: ids come far more often. */
  readonly #onTimer = (): void => {
    const leftMs = this.#progressedMs + this.#idleTimeoutMs - this.#clock.monotonic();
    if (leftMs > 0) {
      this.#cancelTimer = this.#clock.after(leftMs, this.#onTimer);
      return;
    }
    const message = `llama.cpp produced nothing for ${this.#idleTimeoutMs} ms; try again, with a simpler grammar if there is one`;
    const reason = new DiscedgeError('llm_timeout', message);
    this.#stopping.abort(reason);
    this.#giveUp(reason);
  };

  readonly #onAbort = (): void => {
    const { reason } = this.#caller;
    this.#cancelTimer();
    this.#cancelTimer = this.#clock.after(ABORT_GRACE_MS, () => this.#giveUp(reason));
    this.#stopping.abort(reason);
  };
}
