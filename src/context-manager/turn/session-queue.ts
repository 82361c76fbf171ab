import { DiscedgeError } from '../../domain/errors.ts';

/**
 * One turn at a time per session, in order of arrival (DESIGN §3.2). The line of a session is bounded; a session with
 * nobody in it costs nothing.
 */
export class SessionQueue {
  readonly #lines = new Map<string, Array<() => void>>();
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
   * Runs `task` when it is its turn. Throws `session_busy` when the line is full, and `signal.reason` when the signal
   * aborts while waiting; once `task` has begun the signal is the task's own business.
   */
  async run<T>(session: string, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    await this.#enter(session, signal);
    try {
      return await task();
    } finally {
      this.#leave(session);
    }
  }

  #enter(session: string, signal: AbortSignal): Promise<void> | undefined {
    if (signal.aborted) throw signal.reason;
    const line = this.#lines.get(session);
    if (line === undefined) {
      this.#lines.set(session, []);
      return undefined;
    }
    if (line.length >= this.#waitingMax) {
      throw new DiscedgeError(
        'session_busy',
        `${line.length} requests already wait for this session; send the next when one is answered`,
        {
          retryAfterMs: 1000,
        },
      );
    }
    return new Promise<void>((resolve, reject) => {
      const proceed = () => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      const giveUp = () => {
        line.splice(line.indexOf(proceed), 1);
        reject(signal.reason);
      };
      signal.addEventListener('abort', giveUp, { once: true });
      line.push(proceed);
    });
  }

  #leave(session: string): void {
    const line = this.#lines.get(session);
    const next = line?.shift();
    if (next === undefined) this.#lines.delete(session);
    else next();
  }
}
