import type { NodeId } from '../../../domain/identifiers.ts';
import type { SealedRecord } from '../../../domain/record/record-codec.ts';
import { CorruptRecord, openRecord, RECORD_BYTES_MAX } from '../../../domain/record/record-codec.ts';
import { NewerRecord, RECORD_FORMAT_VERSION } from '../../../domain/record/record-version.ts';
import type { Logger } from '../../../environment/environment.ts';
import type { OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReceivedBatch, ReplicaStore } from '../../leveldb/replica.ts';
import type { RecordRefusal } from '../../replication-status.ts';
import { openDelta } from '../delta/delta-record.ts';
import { LIST_ENTRIES_MAX } from '../peers/log-answers.ts';
import { NODES_MAX } from '../peers/peer-protocol.ts';
import { type KnownSigners, SignerUnknown } from '../signatures/known-signers.ts';
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

/** Who hands out records, and with them what it knows of the keys of their writers. */
export interface SignerSource {
  readonly nodeId: NodeId;
  /** Throws when it does not answer; absent where nobody signs. */
  signers?(origin: NodeId): Promise<readonly string[]>;
}

export interface SoundRecord {
  readonly sequence: number;
  readonly sealed: SealedRecord;
}

/** The one way by which records of other nodes get into the replica. */
export class Applier {
  readonly #replica: ReplicaStore;
  readonly #logger: Logger;
  /** `undefined`: who wrote a record is as its sender says. */
  readonly signers: KnownSigners | undefined;
  readonly held = new HeldLogs();
  readonly gaps = new LogGaps();
  /** Of whom each holder was asked since it was greeted: each of many records would be a question, with the same answer. */
  readonly #askedForKeys = new Map<NodeId, Set<NodeId>>();
  readonly #refused = new Map<NodeId, Map<RecordRefusal, number>>();

  constructor(parts: { replica: ReplicaStore; logger: Logger; signers?: KnownSigners | undefined }) {
    this.#replica = parts.replica;
    this.#logger = parts.logger;
    this.signers = parts.signers;
  }

  /**
   * The record when it is sound, of this log and of the node that wrote the log, else it is refused and counted. Throws
   * `DeltaUnreadable`, `SignerUnknown`, and `NewerRecord` for one that this build does not read: the log is held there. Past none
   * of them must it go.
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
    const fault = this.signers?.faultOf(sealed);
    return fault === undefined ? sealed : this.#refuse(peer, fault);
  }

  /** As {@link open}, of a holder that is asked for its writer's keys where they are not known. Rejects also as the holder does. */
  openFrom(holder: SignerSource, received: Omit<ReceivedRecord, 'peer'>): Promise<SealedRecord | undefined> {
    return this.#learning(holder, received, (own) => this.open(own));
  }

  /** As {@link openFetched}, in the same way. */
  openFetchedFrom(holder: SignerSource, received: Omit<ReceivedRecord, 'peer'>): Promise<SealedRecord | undefined> {
    return this.#learning(holder, received, (own) => this.openFetched(own));
  }

  async #learning(
    holder: SignerSource,
    received: Omit<ReceivedRecord, 'peer'>,
    open: (received: ReceivedRecord) => SealedRecord | undefined,
  ): Promise<SealedRecord | undefined> {
    const own = { ...received, peer: holder.nodeId };
    try {
      return open(own);
    } catch (error) {
      if (!(error instanceof SignerUnknown) || holder.signers === undefined) throw error;
      const { origin } = received.log;
      const asked = this.#askedForKeys.get(holder.nodeId) ?? new Set();
      if (asked.has(origin) || asked.size >= NODES_MAX) throw error;
      this.#askedForKeys.set(holder.nodeId, asked.add(origin));
      const statements = await holder.signers(origin).catch((silence) => {
        asked.delete(origin);
        throw silence;
      });
      for (const statement of statements) this.signers?.learn(origin, statement);
      return open(own);
    }
  }

  /** A node has been greeted: it may know keys by now that it did not know before. */
  askForKeysAgain(nodeId: NodeId): void {
    this.#askedForKeys.delete(nodeId);
  }

  /**
   * Takes these in and moves the cursor past them and past what was refused or is gone; durable when it resolves. Throws
   * `store_unavailable`, and {@link CursorMoved} when another batch came first; nothing is changed then.
   */
  async take(batch: ReceivedBatch): Promise<void> {
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
  async #noteGaps({ log, records, from, to }: ReceivedBatch): Promise<void> {
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
