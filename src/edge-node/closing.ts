import type { Log } from '../environment/environment.ts';

/** What has been started, to be closed in reverse order; a step that fails does not keep the others from running. */
export class Closing {
  readonly #log: Log;
  readonly #steps: Array<{ readonly name: string; readonly close: () => Promise<void> | void }> = [];
  #running: Promise<void> | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  later(name: string, close: () => Promise<void> | void): void {
    this.#steps.push({ name, close });
  }

  /** Idempotent. */
  run(): Promise<void> {
    this.#running ??= this.#closeAll();
    return this.#running;
  }

  async #closeAll(): Promise<void> {
    for (const { name, close } of this.#steps.reverse()) {
      try {
        await close();
      } catch (error) {
        this.#log.error('close_failed', { part: name }, error);
      }
    }
  }
}
