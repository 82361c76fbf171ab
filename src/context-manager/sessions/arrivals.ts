import type { SessionKeyText } from '../../domain/identifiers.ts';
import type { Clock } from '../../environment/environment.ts';
import { Pause } from '../../waiting/pause.ts';

/** Wakes whoever waits for a session when a record of it arrives from another node. */
export class Arrivals {
  readonly #clock: Clock;
  readonly #waiting = new Map<SessionKeyText, Set<Pause>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  announce(keyText: SessionKeyText): void {
    const waiting = this.#waiting.get(keyText);
    if (waiting === undefined) return;
    this.#waiting.delete(keyText);
    for (const pause of waiting) pause.end();
  }

  /** Resolves at the next arrival or after `waitMs`, whichever is first. Throws `signal.reason` on abort. */
  async next(keyText: SessionKeyText, waitMs: number, signal: AbortSignal): Promise<void> {
    const waiting = this.#waiting.get(keyText) ?? new Set();
    this.#waiting.set(keyText, waiting);
    const pause = new Pause(this.#clock, waitMs, signal);
    waiting.add(pause);
    await pause.over;
    waiting.delete(pause);
    if (waiting.size === 0 && this.#waiting.get(keyText) === waiting) this.#waiting.delete(keyText);
    signal.throwIfAborted();
  }
}
