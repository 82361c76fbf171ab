import type { Clock } from '../../environment/environment.ts';

/**
 * Times the waits of one exchange, one at a time, with one timer for all of them: nearly all are over long before it.
 */
export class WaitWatch {
  readonly #clock: Clock;
  #wait: { readonly dueMs: number; readonly onLate: () => void } | undefined;
  #timer: { readonly dueMs: number; readonly cancel: () => void } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A wait begins, in place of the one before it: `onLate` is called once `waitMs` are over. */
  begin(waitMs: number, onLate: () => void): void {
    const dueMs = this.#clock.monotonic() + waitMs;
    this.#wait = { dueMs, onLate };
    if (this.#timer === undefined || this.#timer.dueMs > dueMs) this.#arm(dueMs);
  }

  /** Nobody waits now. */
  pause(): void {
    this.#wait = undefined;
  }

  /** No wait follows. */
  stop(): void {
    this.#wait = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(dueMs: number): void {
    this.#timer?.cancel();
    const cancel = this.#clock.after(dueMs - this.#clock.monotonic(), () => this.#look());
    this.#timer = { dueMs, cancel };
  }

  #look(): void {
    this.#timer = undefined;
    const wait = this.#wait;
    if (wait === undefined) return;
    if (this.#clock.monotonic() < wait.dueMs) {
      this.#arm(wait.dueMs);
      return;
    }
    this.#wait = undefined;
    wait.onLate();
  }
}
