import type { Clock } from '../environment/environment.ts';

/** Resolves after `waitMs`, or as soon as `signal` aborts. */
export function pause(clock: Clock, waitMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      cancel();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const cancel = clock.after(waitMs, end);
    signal.addEventListener('abort', end, { once: true });
  });
}

/** Ends waiting for `work` when `signal` aborts; the work itself goes on until it notices. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** A bell that one loop waits for. Rung while nobody waits, the next wait is over at once. */
export class Bell {
  readonly #clock: Clock;
  #rung = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Resolves when the bell rings, `signal` aborts, or `waitMs` (for ever by default) is over. */
  async wait(signal: AbortSignal, waitMs = Number.POSITIVE_INFINITY): Promise<void> {
    if (!this.#rung && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const cancel = waitMs === Number.POSITIVE_INFINITY ? () => {} : this.#clock.after(waitMs, () => this.#wake?.());
        this.#wake = () => {
          this.#wake = undefined;
          cancel();
          signal.removeEventListener('abort', resolveWait);
          resolve();
        };
        const resolveWait = () => this.#wake?.();
        signal.addEventListener('abort', resolveWait, { once: true });
      });
    }
    this.#rung = false;
  }
}

/** Delays that double from `firstMs` up to `maxMs` until something goes well. */
export class BackOff {
  readonly #firstMs: number;
  readonly #maxMs: number;
  #nextMs: number;

  constructor({ firstMs, maxMs }: { readonly firstMs: number; readonly maxMs: number }) {
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#nextMs = firstMs;
  }

  next(): number {
    const delayMs = this.#nextMs;
    this.#nextMs = Math.min(delayMs * 2, this.#maxMs);
    return delayMs;
  }

  reset(): void {
    this.#nextMs = this.#firstMs;
  }
}
