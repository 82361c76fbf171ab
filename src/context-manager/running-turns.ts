import { DiscedgeError } from '../domain/errors.ts';
import type { Clock } from '../environment/environment.ts';

export interface RunningTurnsOptions {
  readonly turnsInFlightMax: number;
  readonly finishAbandonedMs: number;
}

/** The turns in flight on this node: how many there may be, and how one is stopped. */
export class RunningTurns {
  readonly #clock: Clock;
  readonly #options: RunningTurnsOptions;
  readonly #stops = new Map<AbortController, string | undefined>();
  #admitted = 0;
  #closing = false;
  #idle: (() => void) | undefined;

  constructor(clock: Clock, options: RunningTurnsOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  /** Turns admitted and not yet answered, waiting ones included. */
  get size(): number {
    return this.#admitted;
  }

  get closing(): boolean {
    return this.#closing;
  }

  /** Throws `overloaded` or `shutting_down` instead of running the task. */
  async admit<T>(task: () => Promise<T>): Promise<T> {
    if (this.#closing) throw new DiscedgeError('shutting_down', 'the node is stopping; ask another one');
    if (this.#admitted >= this.#options.turnsInFlightMax) {
      throw new DiscedgeError('overloaded', `the node has ${this.#admitted} turns in flight, which is its limit`, {
        retryAfterMs: 1000,
      });
    }
    this.#admitted++;
    try {
      return await task();
    } finally {
      this.#admitted--;
      if (this.#admitted === 0) this.#idle?.();
    }
  }

  /**
   * Runs the part of a turn that may be stopped. Once begun, a turn whose client leaves goes on so that a retry finds
   * it, but not for longer than `finishAbandonedMs`; one without a session has nobody to come back and stops at once.
   */
  async track<T>(
    session: string | undefined,
    gone: AbortSignal,
    task: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const stop = new AbortController();
    let cancelTimer = () => {};
    const abandon = () =>
      stop.abort(
        new DiscedgeError('turn_cancelled', 'the client left and the turn took too long to finish without it'),
      );
    const onGone = () => {
      if (session === undefined) abandon();
      else cancelTimer = this.#clock.after(this.#options.finishAbandonedMs, abandon);
    };
    this.#stops.set(stop, session);
    if (gone.aborted) onGone();
    else gone.addEventListener('abort', onGone, { once: true });
    try {
      return await task(stop.signal);
    } finally {
      this.#stops.delete(stop);
      gone.removeEventListener('abort', onGone);
      cancelTimer();
    }
  }

  /** Stops the running turn of a session; it stores nothing. False when none was running. */
  cancel(session: string): boolean {
    let cancelled = false;
    for (const [stop, name] of this.#stops) {
      if (name !== session) continue;
      stop.abort(new DiscedgeError('turn_cancelled', 'the turn was cancelled; nothing was stored'));
      cancelled = true;
    }
    return cancelled;
  }

  /** Admits nothing more and resolves when all turns have ended; those still running after `graceMs` are stopped. */
  async drain(graceMs: number): Promise<void> {
    this.#closing = true;
    if (this.#admitted === 0) return;
    const cancelTimer = this.#clock.after(graceMs, () => {
      for (const stop of this.#stops.keys())
        stop.abort(new DiscedgeError('shutting_down', 'the node is stopping; ask another one'));
    });
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
    cancelTimer();
  }
}
