import type { NodeId } from '../../domain/identifiers.ts';
import type { SealedRecord } from '../../domain/record-codec.ts';
import { CorruptRecord, openRecord, RECORD_BYTES_MAX, RECORD_FORMAT_VERSION } from '../../domain/record-codec.ts';
import type { Log } from '../../environment/environment.ts';
import type { RecordRefusal } from '../context-store.ts';
import type { LogCursor, OriginLog } from '../lmdb/origin-log.ts';
import type { ReplicaStore } from '../lmdb.ts';

export interface ReceivedRecord {
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

export interface ReceivedRecords {
  readonly log: OriginLog;
  /** Who sent them; not always who wrote them. */
  readonly peer: NodeId;
  readonly records: readonly ReceivedRecord[];
  readonly from: LogCursor;
  readonly to: LogCursor;
}

/** The one way by which records of other nodes get into the replica. */
export class Intake {
  readonly #replica: ReplicaStore;
  readonly #log: Log;
  readonly #announce: (sealed: SealedRecord) => void;
  readonly #refused = new Map<NodeId, Map<RecordRefusal, number>>();

  constructor(parts: { replica: ReplicaStore; log: Log; announce: (sealed: SealedRecord) => void }) {
    this.#replica = parts.replica;
    this.#log = parts.log;
    this.#announce = parts.announce;
  }

  /**
   * Takes in what is sound, refuses and counts the rest, moves the cursor past all of it, and announces what is new once
   * it is durable. Throws `store_unavailable`, and {@link CursorMoved} when another batch came first; nothing is changed then.
   */
  async take({ log, peer, records, from, to }: ReceivedRecords): Promise<void> {
    const sound = records.flatMap(({ sequence, bytes }) => {
      const sealed = this.#checked(log, peer, bytes);
      return sealed === undefined ? [] : [{ sequence, sealed }];
    });
    const added = await this.#replica.receive({ log, records: sound, from, to });
    if (added === undefined) throw new CursorMoved();
    for (const sealed of added) this.#announce(sealed);
  }

  refuse(peer: NodeId, reason: RecordRefusal): void {
    const reasons = this.#refused.get(peer) ?? new Map<RecordRefusal, number>();
    this.#refused.set(peer, reasons);
    const count = (reasons.get(reason) ?? 0) + 1;
    reasons.set(reason, count);
    if (count === 1) this.#log.warn('record_refused', { peer, reason });
  }

  refusedBy(peer: NodeId): Partial<Record<RecordRefusal, number>> {
    return Object.fromEntries(this.#refused.get(peer) ?? []);
  }

  #checked(log: OriginLog, peer: NodeId, bytes: Uint8Array): SealedRecord | undefined {
    if (bytes.length > RECORD_BYTES_MAX) return this.#refuse(peer, 'oversized');
    let sealed: SealedRecord;
    try {
      // A copy: the bytes lie in a larger buffer, which they would keep in memory.
      sealed = openRecord(Uint8Array.from(bytes));
    } catch (error) {
      if (!(error instanceof CorruptRecord)) throw error;
      return this.#refuse(peer, bytes[0] === RECORD_FORMAT_VERSION ? 'corrupt' : 'unknown_version');
    }
    const { record } = sealed;
    if (record.keygroup !== log.keygroup) return this.#refuse(peer, 'foreign_keygroup');
    if (record.origin !== log.origin || record.incarnation !== log.incarnation)
      return this.#refuse(peer, 'foreign_origin');
    return sealed;
  }

  #refuse(peer: NodeId, reason: RecordRefusal): undefined {
    this.refuse(peer, reason);
  }
}

/** Somebody else has moved the log's cursor meanwhile: whoever meets this looks where it is now. */
export class CursorMoved extends Error {
  override readonly name = 'CursorMoved';
}
