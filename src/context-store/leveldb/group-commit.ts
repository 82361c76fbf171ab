import { DiscedgeError } from '../../domain/errors.ts';
import type { Environment } from '../../environment/environment.ts';
import { within } from '../../waiting/within.ts';
import { OutcomeUnknown } from '../outcome-unknown.ts';

/** Work in one commit: a thousand appends of 300 B are a few milliseconds of writing behind one fsync. */
const GROUP_WORKS_MAX = 1_000;
/** Work waiting for a commit: seconds of it on a slow disk; beyond that a client had better ask again. */
const WAITING_WORKS_MAX = 10_000;
/** A disk that has not answered by now will not: whoever waits is told so. */
const COMMIT_WAIT_MS = 30_000;

/** What one writer wants of a group. */
export interface Work<Group> {
  /** Reads what `decide` needs, beside the other works of the group. What is committed does not change meanwhile. */
  load?(group: Group): Promise<void>;
  /** Puts into the group what is to be written. In the order in which the works came. */
  decide(group: Group): void;
}

interface Waiting<Group> {
  readonly work: Work<Group>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** How one group of work is decided and made durable. */
export interface GroupCommitSteps<Group> {
  /** Starts a group. Throws `store_unavailable`. */
  begin(): Promise<Group>;
  /** Resolves once the group is durable. Rejects with `OutcomeUnknown`, or else nothing of it is. */
  commit(group: Group): Promise<void>;
}

/**
 * One commit at a time; whatever comes in meanwhile shares the next one, so many writers share an fsync and a lone one
 * waits for nobody. A work that throws fails alone; a commit that fails fails its whole group.
 */
export class GroupCommit<Group> {
  readonly #steps: GroupCommitSteps<Group>;
  readonly #environment: Environment;
  #waiting: Waiting<Group>[] = [];
  #running: Promise<void> | undefined;
  #stuck = false;

  constructor(steps: GroupCommitSteps<Group>, environment: Environment) {
    this.#steps = steps;
    this.#environment = environment;
  }

  /** Whether a commit has been under way for so long that nobody waits for it any more. */
  get isStuck(): boolean {
    return this.#stuck;
  }

  /**
   * Resolves when what `work` has put into its group is durable. Throws what `work` throws, `store_unavailable`, `overloaded`;
   * {@link OutcomeUnknown} when the commit of its group takes too long, and so may still come to a good end.
   */
  run(work: Work<Group>): Promise<void> {
    if (this.#stuck) return Promise.reject(stuck());
    if (this.#waiting.length >= WAITING_WORKS_MAX) {
      return Promise.reject(new DiscedgeError('overloaded', `${WAITING_WORKS_MAX} writes wait for the disk`));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ work, resolve, reject });
      this.#running ??= this.#commitAll();
    });
  }

  /** Resolves when nothing waits and no commit is under way, or when that one is stuck. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #commitAll(): Promise<void> {
    // Whoever else writes in this very moment can still come along.
    await undefined;
    while (this.#waiting.length > 0 && !this.#stuck) {
      await this.#commitGroup(this.#waiting.splice(0, GROUP_WORKS_MAX));
    }
    this.#running = undefined;
  }

  async #commitGroup(works: readonly Waiting<Group>[]): Promise<void> {
    try {
      for (const { resolve } of await this.#inTime(this.#carryOut(works))) resolve();
    } catch (error) {
      for (const { reject } of works) reject(error);
    }
  }

  /** Comes to those whose work is durable; the others have been told. */
  async #carryOut(works: readonly Waiting<Group>[]): Promise<Waiting<Group>[]> {
    const group = await this.#steps.begin();
    const loaded = await Promise.allSettled(works.map(({ work }) => work.load?.(group)));
    const done = works.filter(({ work, reject }, at) => {
      try {
        const load = loaded[at] as PromiseSettledResult<void>;
        if (load.status === 'rejected') throw load.reason;
        work.decide(group);
        return true;
      } catch (error) {
        reject(error);
        return false;
      }
    });
    await this.#steps.commit(group);
    return done;
  }

  #inTime<T>(commit: Promise<T>): Promise<T> {
    return within({ clock: this.#environment.clock, waitMs: COMMIT_WAIT_MS }, commit, () => {
      this.#stuck = true;
      for (const { reject } of this.#waiting.splice(0)) reject(stuck());
      // It may come to an end after all; then others can be let in again.
      const unstick = () => {
        this.#stuck = false;
      };
      commit.then(unstick, unstick);
      throw new OutcomeUnknown(STUCK, commit);
    });
  }
}

const STUCK = `the disk has not finished a write in ${COMMIT_WAIT_MS / 1000} s`;

function stuck(): DiscedgeError {
  return new DiscedgeError('store_unavailable', STUCK);
}
