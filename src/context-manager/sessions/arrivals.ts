import type { Clock } from '../../environment/environment.ts';

/** Wakes whoever waits for a session when a record of it arrives from another node. */
export class Arrivals {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  announce(session: string): void {
    const waiting = this.#waiting.get(session);
    if (waiting === undefined) return;
    this.#waiting.delete(session);
    for (const wake of waiting) wake();
  }

  /** Resolves at the next arrival or after `waitMs`, whichever is first. Throws `signal.reason` on abort. */
  next(session: string, waitMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting = this.#waiting.get(session) ?? new Set();
      this.#waiting.set(session, waiting);
      const leave = () => {
        cancelTimer();
        signal.removeEventListener('abort', giveUp);
        waiting.delete(wake);
        if (waiting.size === 0 && this.#waiting.get(session) === waiting) this.#waiting.delete(session);
      };
      const wake = () => {
        leave();
        resolve();
      };
      const giveUp = () => {
        leave();
        reject(signal.reason);
      };
      const cancelTimer = this.#clock.after(waitMs, wake);
      waiting.add(wake);
      if (signal.aborted) giveUp();
      else signal.addEventListener('abort', giveUp, { once: true });
    });
  }
}
