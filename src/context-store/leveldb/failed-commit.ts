import { OutcomeUnknown } from '../outcome-unknown.ts';
import { reasonOf } from './data-folder/data-folder.ts';
import type { WrittenTotals } from './data-folder/store-identity.ts';
import type { Evicted } from './room/eviction.ts';
import type { SessionChanges } from './session-changes.ts';

/** What a commit does, once it is durable. */
export interface CommitOutcome {
  readonly changes: SessionChanges;
  readonly evicted: Evicted;
  readonly after: WrittenTotals;
}

/**
 * A commit whose write failed: what it wrote may lie in the database's log all the same, whole, and is there when that is read
 * again. Whether it is, the number of the last commit tells then.
 */
export class FailedCommit {
  readonly outcome: CommitOutcome;
  /** Known once it is settled. */
  isStored = false;
  readonly #error: unknown;
  readonly #settled: Promise<void>;
  #settle = () => {};

  constructor({ error, ...outcome }: CommitOutcome & { readonly error: unknown }) {
    this.outcome = outcome;
    this.#error = error;
    this.#settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  settle(): void {
    this.#settle();
  }

  /** For those whose work it was. */
  outcomeUnknown(): OutcomeUnknown {
    const reason = this.#error instanceof Error ? reasonOf(this.#error) : String(this.#error);
    return new OutcomeUnknown(`the context store cannot write: ${reason}`, this.#settled);
  }
}
