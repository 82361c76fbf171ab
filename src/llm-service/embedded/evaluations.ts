import type { Environment, LogFields } from '../../environment/environment.ts';
import { StuckWatch } from './stuck-watch.ts';

export interface EvaluationsParts {
  readonly environment: Environment;
  /** Without progress for this long an evaluation is given up. */
  readonly idleTimeoutMs: number;
  readonly onStuck: () => void;
}

/** What is inside llama.cpp, its readers gone or not: nobody waits for ever for what hangs there. */
export class Evaluations {
  readonly #parts: EvaluationsParts;
  readonly #underWay = new Set<Promise<void>>();

  constructor(parts: EvaluationsParts) {
    this.#parts = parts;
  }

  /** Over one that `caller` may abort. */
  watch(caller: AbortSignal): StuckWatch {
    const { environment, idleTimeoutMs } = this.#parts;
    return new StuckWatch({ ...environment, caller, idleTimeoutMs });
  }

  /** Counts as under way until it settles. */
  hold(evaluation: Promise<void>): void {
    const ended = evaluation.catch(() => undefined);
    this.#underWay.add(ended);
    void ended.then(() => this.#underWay.delete(ended));
  }

  /** Settles as the evaluation does, or throws once the watch has given up. Ends the watch. */
  async unlessStuck(evaluation: Promise<void>, watch: StuckWatch, named: LogFields): Promise<void> {
    const gaveUp = watch.gaveUp.catch((reason: unknown) => {
      this.#parts.environment.logger.error('llm.sequence_stuck', named);
      this.#parts.onStuck();
      throw reason;
    });
    await Promise.race([evaluation, gaveUp]).finally(() => watch.end());
  }

  /** One that is no generation's. */
  async watched(evaluation: Promise<void>): Promise<void> {
    this.hold(evaluation);
    const { signal: caller } = new AbortController();
    await this.unlessStuck(evaluation, this.watch(caller), { warming: true });
  }

  /** Resolves when all that are under way have settled. */
  async ended(): Promise<void> {
    await Promise.all(this.#underWay);
  }
}
