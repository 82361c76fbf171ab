import type { Environment } from '../environment/environment.ts';
import { within } from '../waiting/within.ts';

/**
 * How long one part may take to close before the next is closed all the same. Longer than the turns in flight are given
 * to finish, as their end is such a step; a part that needs more than this hangs, and a node must end when it is told to.
 */
export const CLOSE_STEP_MS = 12_000;

/**
 * What has been started, to be closed in reverse order; a step that fails, or that takes longer than
 * {@link CLOSE_STEP_MS}, does not keep the others from running.
 */
export class Closing {
  readonly #environment: Pick<Environment, 'clock' | 'logger'>;
  readonly #steps: Array<{ readonly name: string; readonly close: () => Promise<void> | void }> = [];
  #running: Promise<void> | undefined;

  constructor(environment: Pick<Environment, 'clock' | 'logger'>) {
    this.#environment = environment;
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
    for (const { name, close } of this.#steps.reverse()) await this.#closeOne(name, close);
  }

  /** What fails after its time is logged like what fails within it. */
  async #closeOne(name: string, close: () => Promise<void> | void): Promise<void> {
    const { clock, logger } = this.#environment;
    const closed = (async () => close())().catch((error: unknown) =>
      logger.error('close_failed', { part: name }, error),
    );
    await within({ clock, waitMs: CLOSE_STEP_MS }, closed, () =>
      logger.error('close_timed_out', { part: name, waitedMs: CLOSE_STEP_MS }),
    );
  }
}
