import type { Clock } from '../environment/environment.ts';
import { Pause } from './pause.ts';

/** An event that one loop waits for. Rung while nobody waits, the next wait is over at once. */
export class Bell {
  readonly #clock: Clock;
  #isRung = false;
  #pause: Pause | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ring(): void {
    this.#isRung = true;
    this.#pause?.end();
  }

  /** What it was rung for until now is no longer waited for. */
  hush(): void {
    this.#isRung = false;
  }

  /** Resolves when the bell rings, `signal` aborts, or `waitMs` (for ever by default) is over. */
  async wait(signal: AbortSignal, waitMs = Number.POSITIVE_INFINITY): Promise<void> {
    if (!this.#isRung) {
      this.#pause = new Pause(this.#clock, waitMs, signal);
      await this.#pause.over;
    }
    this.#isRung = false;
  }
}
