import type { Clock } from '../environment/environment.ts';

/**
 * A wait that is over after `waitMs`, when `signal` aborts, or when it is ended, whichever is first; then it holds
 * neither timer nor signal. Infinite: only the other two end it.
 */
export class Pause {
  /** Never rejects. */
  readonly over: Promise<void>;
  #end: () => void = () => {};

  constructor(clock: Clock, waitMs: number, signal?: AbortSignal) {
    this.over = new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const end = () => {
        cancelTimer();
        signal?.removeEventListener('abort', end);
        resolve();
      };
      const cancelTimer = waitMs === Number.POSITIVE_INFINITY ? () => {} : clock.after(waitMs, end);
      signal?.addEventListener('abort', end, { once: true });
      this.#end = end;
    });
  }

  /** Idempotent. */
  end(): void {
    this.#end();
  }
}

/** Resolves after `waitMs`, or as soon as `signal` aborts. */
export function pause(clock: Clock, waitMs: number, signal?: AbortSignal): Promise<void> {
  return new Pause(clock, waitMs, signal).over;
}
