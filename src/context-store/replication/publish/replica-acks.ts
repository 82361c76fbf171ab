import { DiscedgeError } from '../../../domain/errors.ts';
import type { Incarnation, NodeId } from '../../../domain/identifiers.ts';
import type { Clock } from '../../../environment/environment.ts';
import { Pause } from '../../../waiting/pause.ts';
import { type LogPosition, logText, type OriginLog } from '../../leveldb/log/origin-log.ts';
import { NODES_MAX } from '../peers/peer-protocol.ts';

/** Replies that may wait for peers at once: as many as writes may wait for the disk. */
const WAITING_MAX = 10_000;

/** The logs that a node writes. */
export interface OwnLogs {
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
  /** Whether something has been written to it, whatever is served now. */
  readonly isWritten: (log: OriginLog) => boolean;
}

interface Waiting {
  readonly sequence: number;
  readonly pause: Pause;
}

/** What this node's peers have of its logs, as they said, and who waits for that. */
export class ReplicaAcks {
  readonly #own: OwnLogs;
  readonly #clock: Clock;
  readonly #reached = new Map<string, Map<NodeId, number>>();
  readonly #waiting = new Map<string, { readonly log: OriginLog; readonly all: Set<Waiting> }>();
  #waitingCount = 0;

  constructor(own: OwnLogs, clock: Clock) {
    this.#own = own;
    this.#clock = clock;
  }

  /**
   * A peer says to have a log up to `sequence`. It can have less than before: then its disk is new. Nothing is kept of
   * logs that are not this node's, of more peers than a cluster has, and of a peer that calls itself this node.
   */
  note(peer: NodeId, log: OriginLog, sequence: number): void {
    const { nodeId, incarnation, isWritten } = this.#own;
    const isOwn = log.origin === nodeId && log.incarnation === incarnation && isWritten(log);
    if (!isOwn || peer === nodeId) return;
    const key = logText(log);
    const peers = this.#reached.get(key) ?? new Map<NodeId, number>();
    if (!peers.has(peer) && peers.size >= NODES_MAX) return;
    this.#reached.set(key, peers);
    peers.set(peer, sequence);
    for (const waiting of this.#waiting.get(key)?.all ?? []) {
      if (waiting.sequence <= sequence) waiting.pause.end();
    }
  }

  /** The peer has left: what it had counts no more. */
  forget(peer: NodeId): void {
    for (const peers of this.#reached.values()) peers.delete(peer);
  }

  /** Peers that have a log up to `sequence`. */
  count(log: OriginLog, sequence: number): number {
    return [...(this.#reached.get(logText(log))?.values() ?? [])].filter((reached) => reached >= sequence).length;
  }

  /** Whether that peer has a log up to `sequence`. */
  has(peer: NodeId, log: OriginLog, sequence: number): boolean {
    return (this.#reached.get(logText(log))?.get(peer) ?? 0) >= sequence;
  }

  /** How far some peer has a log. */
  reached(log: OriginLog): number {
    return Math.max(0, ...(this.#reached.get(logText(log))?.values() ?? []));
  }

  /** Resolves with {@link count} when that is above 0 or `waitMs` is over. Throws `signal.reason`, `overloaded`. */
  async wait(log: OriginLog, sequence: number, { waitMs, signal }: { waitMs: number; signal: AbortSignal }) {
    signal.throwIfAborted();
    if (this.count(log, sequence) > 0) return this.count(log, sequence);
    if (this.#waitingCount >= WAITING_MAX)
      throw new DiscedgeError('overloaded', `${WAITING_MAX} replies wait for other nodes to have their record`);
    const key = logText(log);
    const { all } = this.#waiting.get(key) ?? { all: new Set<Waiting>() };
    this.#waiting.set(key, { log, all });
    const waiting = { sequence, pause: new Pause(this.#clock, waitMs, signal) };
    this.#waitingCount++;
    all.add(waiting);
    await waiting.pause.over;
    all.delete(waiting);
    this.#waitingCount--;
    signal.throwIfAborted();
    return this.count(log, sequence);
  }

  /** The last record of each log that somebody waits for. */
  wanted(): LogPosition[] {
    return [...this.#waiting.values()].flatMap(({ log, all }) => {
      const sequence = Math.max(...[...all].map((waiting) => waiting.sequence));
      return all.size === 0 ? [] : [{ log, sequence }];
    });
  }

  /** Ends all waits with what there is. */
  close(): void {
    for (const { all } of this.#waiting.values()) for (const waiting of all) waiting.pause.end();
  }
}
