import { DiscedgeError } from '../../domain/errors.ts';
import type { SessionKeyText } from '../../domain/identifiers.ts';
import { BoundedLine } from '../../waiting/bounded-line.ts';
import type { StopSign } from '../../waiting/stop.ts';

/**
 * One turn at a time per session, in order of arrival (DESIGN §3.2). The line of a session is bounded; a session with
 * nobody in it costs nothing.
 */
export class SessionQueue {
  readonly #lines = new Map<SessionKeyText, BoundedLine>();
  readonly #waitingMax: number;

  /** `waitingMax`: requests that may wait behind the one that runs, per session. */
  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax;
  }

  /** Sessions with a turn running or waiting. */
  get busySessions(): number {
    return this.#lines.size;
  }

  /**
   * Runs `task` when it is its turn. Throws `session_busy` when the line is full, and the reason of `stop` when that is
   * given while waiting; once `task` has begun it is the task's own business.
   */
  async run<T>(keyText: SessionKeyText, stop: StopSign, task: () => Promise<T>): Promise<T> {
    const entered = this.#enter(keyText, stop);
    if (entered !== undefined) await entered;
    try {
      return await task();
    } finally {
      this.#leave(keyText);
    }
  }

  #enter(keyText: SessionKeyText, stop: StopSign): Promise<void> | undefined {
    stop.throwIfAborted();
    const line = this.#lines.get(keyText);
    if (line === undefined) {
      this.#lines.set(keyText, new BoundedLine(this.#waitingMax, busy));
      return undefined;
    }
    return line.join(stop.signal);
  }

  #leave(keyText: SessionKeyText): void {
    if (!this.#lines.get(keyText)?.serveNext()) this.#lines.delete(keyText);
  }
}

function busy(waiting: number): DiscedgeError {
  const message = `${waiting} requests already wait for this session; send the next when one is answered`;
  return new DiscedgeError('session_busy', message, { retryAfterMs: 1000 });
}
