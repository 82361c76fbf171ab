import type { Clock } from '../../environment/environment.ts';
import { Pause } from '../../waiting/pause.ts';

/** Wakes whoever waits for a session when a record of it arrives from another node. */
export class Arrivals {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Set<Pause>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  announce(session: string): void {
    const waiting = this.#waiting.get(session);
    if (waiting === undefined) return;
    this.#waiting.delete(session);
    for (const pause of waiting) pause.end();
  }

  /** Resolves at the next arrival or after `waitMs`, whichever is first. Throws `signal.reason` on abort. */
  async next(session: string, waitMs: number, signal: AbortSignal): Promise<void> {
    const waiting = this.#waiting.get(session) ?? new Set();
    this.#waiting.set(session, waiting);
    const pause = new Pause(this.#clock, waitMs, signal);
    waiting.add(pause);
    await pause.over;
    waiting.delete(pause);
    if (waiting.size === 0 && this.#waiting.get(session) === waiting) this.#waiting.delete(session);
    signal.throwIfAborted();
  }
}
