import { NewerRecord } from '../../../domain/record/record-version.ts';
import type { OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import type { FetchedRecords, LogPage } from '../peers/log-answers.ts';
import { LIST_ENTRIES_MAX } from '../peers/log-answers.ts';
import { FETCH_RECORDS_MAX } from '../peers/peer-protocol.ts';
import { SignerUnknown } from '../signatures/known-signers.ts';
import type { Applier, SignerSource, SoundRecord } from './applier.ts';
import { afterBackFill, settledThrough } from './pull-position.ts';

/** A node that can be asked for what it holds of a log. All throw when it does not answer. */
export interface Holder extends SignerSource {
  list(log: OriginLog, after: number): Promise<LogPage>;
  fetch(log: OriginLog, sequences: readonly number[]): Promise<FetchedRecords>;
}

export interface BackFillRequest {
  readonly log: OriginLog;
  readonly holder: Holder;
  readonly after: number;
  /** Records beyond this are not fetched. */
  readonly through: number;
  /** Whether the holder wrote the log, and so knows that what it does not list is gone. */
  readonly isOrigin: boolean;
}

/**
 * Gets from a holder the records of a log that are not here: its list of hashes first, so that each comes once. Returns the
 * last page of the list, `undefined` when there was none. Throws what the holder and the store throw, `SignerUnknown`, and
 * `NewerRecord` for a record that this build does not read; what was taken in by then stays, and the log is settled no further.
 */
export async function backFill(
  { log, holder, after, through, isOrigin }: BackFillRequest,
  { replica, applier }: { replica: ReplicaStore; applier: Applier },
): Promise<LogPage | undefined> {
  let listed = after;
  let lastPage: LogPage | undefined;
  while (listed < through) {
    const page = await holder.list(log, listed);
    if (page.through <= listed) break;
    lastPage = page;
    listed = page.through;
    await takePage(page);
    // A page that has room left is the last, or its holder could be asked for ever.
    if (page.entries.length < LIST_ENTRIES_MAX) break;
  }
  return lastPage;

  async function takePage(page: LogPage): Promise<void> {
    const end = Math.min(page.through, through);
    let missing = page.entries
      .filter(({ sequence, hash }) => sequence <= end && replica.positionOf(hash, log.keygroup) === undefined)
      .map(({ sequence }) => sequence);
    for (;;) {
      const asked = missing.slice(0, FETCH_RECORDS_MAX);
      const { covered, records } = asked.length === 0 ? { covered: 0, records: [] } : await holder.fetch(log, asked);
      if (asked.length > 0 && covered === 0) throw new Error(`${holder.nodeId} does not hand out what it lists`);
      missing = missing.slice(covered);
      const { taken, refused, waits } = await opened(records);
      // Everything before the next missing one has been handed out now, or is gone.
      const next = waits?.sequence ?? missing[0];
      const done = next === undefined ? end : next - 1;
      // Another holder's list is no proof: what it does not hand out whole, the origin may still have.
      const held = isOrigin ? [] : sequencesHere(page, taken);
      const from = replica.cursor(log);
      const to = afterBackFill(from, settledThrough(from, { held, through: done, isOrigin }));
      await applier.take({ log, records: taken, refused, from, to });
      if (waits !== undefined) throw waits.error;
      if (missing.length === 0) return;
    }
  }

  function sequencesHere({ entries }: LogPage, taken: readonly SoundRecord[]): number[] {
    const came = new Set(taken.map(({ sequence }) => sequence));
    return entries.flatMap(({ sequence, hash }) =>
      came.has(sequence) || replica.positionOf(hash, log.keygroup) !== undefined ? [sequence] : [],
    );
  }

  /** What is sound, up to the first that this build does not read, or whose writer nothing is known of. */
  async function opened(records: FetchedRecords['records']): Promise<{
    taken: SoundRecord[];
    refused: number[];
    waits?: { sequence: number; error: NewerRecord | SignerUnknown };
  }> {
    const taken: SoundRecord[] = [];
    const refused: number[] = [];
    for (const { sequence, bytes } of records) {
      try {
        const sealed = await applier.openFrom(holder, { log, sequence, bytes });
        if (sealed === undefined) refused.push(sequence);
        else taken.push({ sequence, sealed });
      } catch (error) {
        if (error instanceof NewerRecord || error instanceof SignerUnknown)
          return { taken, refused, waits: { sequence, error } };
        throw error;
      }
    }
    return { taken, refused };
  }
}

/** Settles what a stream has skipped, asking the log's origin once for many gaps, and others while it does not answer. */
export class SkippedRecords {
  readonly #log: OriginLog;
  readonly #holders: { readonly origin: Holder; readonly others: () => readonly Holder[] };
  readonly #parts: { readonly replica: ReplicaStore; readonly applier: Applier };
  #page: LogPage = { entries: [], through: 0 };

  constructor(
    log: OriginLog,
    holders: { readonly origin: Holder; readonly others: () => readonly Holder[] },
    parts: { replica: ReplicaStore; applier: Applier },
  ) {
    this.#log = log;
    this.#holders = holders;
    this.#parts = parts;
  }

  /**
   * Resolves when everything before `sequence` is taken in or known to be gone; `false` when the origin does not know
   * of so many. Throws when the origin does not answer and the others do not have it all, and `NewerRecord`.
   */
  async settle(sequence: number): Promise<boolean> {
    const { replica, applier } = this.#parts;
    const from = replica.cursor(this.#log);
    const through = sequence - 1;
    const isGone =
      through <= this.#page.through &&
      !this.#page.entries.some((entry) => entry.sequence > from.sequence && entry.sequence <= through);
    if (isGone) {
      const to = afterBackFill(from, through);
      await applier.take({ log: this.#log, records: [], from, to });
      return true;
    }
    try {
      const page = await this.#fill(this.#holders.origin, through, true);
      if (page !== undefined) this.#page = page;
    } catch (error) {
      let reason = error;
      for (const other of this.#holders.others()) {
        await this.#fill(other, through, false).catch((othersError) => {
          if (othersError instanceof NewerRecord) reason = othersError;
        });
        if (replica.cursor(this.#log).sequence >= through) return true;
      }
      throw reason;
    }
    return replica.cursor(this.#log).sequence >= through;
  }

  #fill(holder: Holder, through: number, isOrigin: boolean): Promise<LogPage | undefined> {
    const after = this.#parts.replica.cursor(this.#log).sequence;
    return backFill({ log: this.#log, holder, after, through, isOrigin }, this.#parts);
  }
}
