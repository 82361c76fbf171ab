import type { KeygroupId } from '../../../domain/identifiers.ts';
import type { OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import type { PeerCalls } from './peer-calls.ts';

/** Tells a peer how much of its logs is on this node, where it waits for that. */
export class WantedReports {
  readonly #peer: Pick<PeerCalls, 'tell'>;
  readonly #replica: Pick<ReplicaStore, 'nodeId' | 'cursor'>;
  /** Up to where, by model. */
  readonly #wanted = new Map<KeygroupId, number>();

  constructor(peer: Pick<PeerCalls, 'tell'>, replica: Pick<ReplicaStore, 'nodeId' | 'cursor'>) {
    this.#peer = peer;
    this.#replica = replica;
  }

  /** The peer waits until this node has that record: it is told once it is {@link reached}. */
  want(keygroup: KeygroupId, sequence: number): void {
    this.#wanted.set(keygroup, Math.max(sequence, this.#wanted.get(keygroup) ?? 0));
  }

  /** So much of the log is here. */
  reached(log: OriginLog, sequence: number): void {
    const wanted = this.#wanted.get(log.keygroup);
    if (wanted === undefined || sequence < wanted) return;
    this.#wanted.delete(log.keygroup);
    this.#report(log, sequence);
  }

  /** Of a model that is not served here nothing more comes: the peer is told what is here of before. */
  kept(log: OriginLog): void {
    const { sequence } = this.#replica.cursor(log);
    if (sequence > 0) this.#report(log, sequence);
  }

  clear(): void {
    this.#wanted.clear();
  }

  #report(log: OriginLog, sequence: number): void {
    this.#peer.tell({ kind: 'report', nodeId: this.#replica.nodeId, log, sequence });
  }
}
