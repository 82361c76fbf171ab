import type { OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';

/** The records of an own log that were deleted and that what carries it may still hold, a page after the other. */
export class DeletedPages {
  readonly #log: OriginLog;
  readonly #replica: ReplicaStore;
  /** Behind the last page: there is nothing left of rows that are settled to go through. 0: from the first one again. */
  #after = 0;

  constructor({ log, replica }: { readonly log: OriginLog; readonly replica: ReplicaStore }) {
    this.#log = log;
    this.#replica = replica;
  }

  /** By their numbers, in order; none where there is none up to `upTo`. */
  async next({ limit, upTo = Number.POSITIVE_INFINITY }: { limit: number; upTo?: number }): Promise<number[]> {
    const behind = await this.#page(limit, upTo);
    if (behind.length > 0 || this.#after === 0) return behind;
    this.#after = 0;
    return this.#page(limit, upTo);
  }

  /** What carries the log holds nothing of these any more. Durable when it resolves. */
  async settle(sequences: readonly number[]): Promise<void> {
    const last = sequences.at(-1);
    if (last === undefined) return;
    await this.#replica.settleDeleted(this.#log.keygroup, sequences);
    this.#after = last;
  }

  async #page(limit: number, upTo: number): Promise<number[]> {
    const page = await this.#replica.deletedRecords(this.#log.keygroup, { after: this.#after, limit });
    return page.filter((sequence) => sequence <= upTo);
  }
}
