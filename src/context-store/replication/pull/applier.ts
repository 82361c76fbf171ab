import type { NodeId } from '../../../domain/identifiers.ts';
import type { SealedRecord } from '../../../domain/record/record-codec.ts';
import { CorruptRecord, openRecord, RECORD_BYTES_MAX } from '../../../domain/record/record-codec.ts';
import { NewerRecord, RECORD_FORMAT_VERSION } from '../../../domain/record/record-version.ts';
import type { Logger } from '../../../environment/environment.ts';
import type { LogCursor, OriginLog } from '../../leveldb/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import type { RecordRefusal } from '../../replication-status.ts';
import { openDelta } from '../delta/delta-record.ts';
import { LIST_ENTRIES_MAX } from '../peers/peer-protocol.ts';
import { HeldLogs } from './held-logs.ts';
import { LogGaps } from './log-gaps.ts';

/** A record as it came. */
export interface ReceivedRecord {
  readonly log: OriginLog;
  readonly sequence: number;
  /** Who sent it; not always who wrote it. */
  readonly peer: NodeId;
  readonly bytes: Uint8Array;
  /** The log's record that came so many before; without it a delta is refused. */
  readonly turnAt?: (distance: number) => SealedRecord | undefined;
}

export interface SoundRecord {
  readonly sequence: number;
  readonly sealed: SealedRecord;
}

export interface SoundRecords {
  readonly log: OriginLog;
  readonly records: readonly SoundRecord[];
  readonly from: LogCursor;
  readonly to: LogCursor;
}

/** The one way by which records of other nodes get into the replica. */
export class Applier {
  readonly #replica: ReplicaStore;
  readonly #logger: Logger;
  readonly held = new HeldLogs();
  readonly gaps = new LogGaps();
  readonly #refused = new Map<NodeId, Map<RecordRefusal, number>>();

  constructor(parts: { replica: ReplicaStore; logger: Logger }) {
    this.#replica = parts.replica;
    this.#logger = parts.logger;
  }

  /**
   * The record when it is sound and of this log, else it is refused and counted. Throws `DeltaUnreadable`, and `NewerRecord`
   * for one that this build does not read: the log is held there, and must not go past it.
   */
  open(received: ReceivedRecord): SealedRecord | undefined {
    try {
      return this.openFetched(received);
    } catch (error) {
      if (error instanceof NewerRecord)
        this.#hold(received.log, { sequence: received.sequence, version: error.version });
      throw error;
    }
  }

  /** The same for a record that was asked for by itself: a newer one is no reason to hold its log. */
  openFetched({ log, peer, bytes, turnAt }: ReceivedRecord): SealedRecord | undefined {
    if (bytes.length > RECORD_BYTES_MAX) return this.#refuse(peer, 'oversized');
    let sealed: SealedRecord;
    try {
      // A copy: the bytes lie in a larger buffer, which they would keep in memory.
      const own = Uint8Array.from(bytes);
      sealed = turnAt === undefined ? openRecord(own) : openDelta(own, log, turnAt);
    } catch (error) {
      if (!(error instanceof CorruptRecord)) throw error;
      return this.#refuse(peer, 'corrupt');
    }
    const { record } = sealed;
    if (record.keygroup !== log.keygroup) return this.#refuse(peer, 'foreign_keygroup');
    if (record.origin !== log.origin || record.incarnation !== log.incarnation)
      return this.#refuse(peer, 'foreign_origin');
    return sealed;
  }

  /**
   * Takes these in and moves the cursor past them and past what was refused or is gone; durable when it resolves. Throws
   * `store_unavailable`, and {@link CursorMoved} when another batch came first; nothing is changed then.
   */
  async take(batch: SoundRecords): Promise<void> {
    if (!(await this.#replica.receive(batch))) throw new CursorMoved();
    this.held.settle(batch.log, batch.to.sequence);
    await this.#noteGaps(batch);
  }

  /**
   * Takes these in and leaves the cursor where it is; their sessions count as used now, or as never. Durable when it resolves;
   * throws `store_unavailable`.
   */
  takeFetched(log: OriginLog, records: readonly SoundRecord[], use = { areUsed: true }): Promise<void> {
    return this.#replica.receiveFetched(log, records, use);
  }

  refuse(peer: NodeId, reason: RecordRefusal): void {
    const reasons = this.#refused.get(peer) ?? new Map<RecordRefusal, number>();
    this.#refused.set(peer, reasons);
    const count = (reasons.get(reason) ?? 0) + 1;
    reasons.set(reason, count);
    if (count === 1) this.#logger.warn('record_refused', { peer, reason });
  }

  refusedBy(peer: NodeId): Partial<Record<RecordRefusal, number>> {
    return Object.fromEntries(this.#refused.get(peer) ?? []);
  }

  /** What the log was settled past and is not here. Of a long stretch that others have handed out only the first part is looked at. */
  async #noteGaps({ log, records, from, to }: SoundRecords): Promise<void> {
    if (records.length >= to.sequence - from.sequence) return;
    const entries = await this.#replica.readLog(log, { after: from.sequence, limit: LIST_ENTRIES_MAX });
    const here = [...new Set([...records, ...entries].map(({ sequence }) => sequence))]
      .filter((sequence) => sequence <= to.sequence)
      .sort((a, b) => a - b);
    this.gaps.note(log, { after: from.sequence, through: to.sequence, here });
  }

  #hold(log: OriginLog, at: { sequence: number; version: number }): void {
    if (!this.held.hold(log, at)) return;
    const { origin, keygroup } = log;
    this.#logger.error('record_needs_upgrade', { origin, keygroup, ...at, readsUpTo: RECORD_FORMAT_VERSION });
  }

  #refuse(peer: NodeId, reason: RecordRefusal): undefined {
    this.refuse(peer, reason);
  }
}

/** Somebody else has moved the log's cursor meanwhile: whoever meets this looks where it is now. */
export class CursorMoved extends Error {
  override readonly name = 'CursorMoved';
}
