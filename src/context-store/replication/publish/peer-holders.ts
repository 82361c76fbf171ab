import type { Incarnation, KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import type { Clock } from '../../../environment/environment.ts';
import { HELD, type Held } from '../../held-elsewhere.ts';
import { isOf, logText, type OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import type { EvictedLog, LoggedSession, LogSpan, OtherHolders } from '../../leveldb/room/other-holders.ts';
import { type Announcement, type HelloReply, LOGS_MAX, type NodeAnnouncement } from '../peers/peer-protocol.ts';
import type { Peer, PeerTable } from '../peers/peer-table.ts';
import type { ReplicaAcks } from './replica-acks.ts';

/** Between two questions what peers have: some 150 bytes each, and as much for each answer. */
const ASK_EVERY_MS = 1_000;

export interface PeerHoldersParts {
  readonly replica: Pick<ReplicaStore, 'nodeId' | 'incarnation' | 'cursor'>;
  readonly keygroups: readonly KeygroupId[];
  readonly acks: ReplicaAcks;
  readonly peers: () => PeerTable;
  readonly announce: (announcement: Announcement) => void;
  /** Records of an own log that no message can carry: a peer may be past one and has none of it. */
  readonly uncarried: (log: OriginLog) => ReadonlySet<number>;
  readonly clock: Clock;
}

/** Through which sequence a peer has evicted of each log, by the log, as long as it has the same disk. */
interface ToldEvicted {
  /** `undefined` until it has greeted. */
  incarnation: Incarnation | undefined;
  readonly through: Map<string, number>;
}

/**
 * Which peers hold a session, as they have said: what a peer wrote it holds, of what this node wrote that far as it has said to be,
 * and of neither what it has evicted since. Which single records are gone a peer does not say, so up to the last of them none counts.
 */
export class PeerHolders implements OtherHolders {
  readonly #parts: PeerHoldersParts;
  readonly #evicted = new Map<NodeId, ToldEvicted>();
  #askedAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: PeerHoldersParts) {
    this.#parts = parts;
  }

  get areThere(): boolean {
    return this.#parts.peers().size > 0;
  }

  /** A peer has greeted: what it has evicted on an earlier disk says nothing of this one. */
  noteLogs(
    { nodeId, incarnation }: Pick<NodeAnnouncement, 'nodeId' | 'incarnation'>,
    logs: readonly Omit<HelloReply['logs'][number], 'last'>[],
  ): void {
    const evicted = this.#evictedAt(nodeId);
    if (evicted.incarnation !== undefined && evicted.incarnation !== incarnation) evicted.through.clear();
    evicted.incarnation = incarnation;
    for (const { log, evictedThrough = 0 } of logs) this.note(nodeId, log, evictedThrough);
  }

  /**
   * A peer has told how much of a log it has evicted: never less than it had, so a lower number is of an earlier time. Kept of as
   * many logs as a node tells of.
   */
  note(peer: NodeId, log: OriginLog, evictedThrough: number): void {
    const { through } = this.#evictedAt(peer);
    const known = through.get(logText(log)) ?? 0;
    if (evictedThrough > known && (known > 0 || through.size < LOGS_MAX)) through.set(logText(log), evictedThrough);
  }

  /** The peer has left. */
  forget(peer: NodeId): void {
    this.#evicted.delete(peer);
  }

  held({ spans, writer }: LoggedSession): Held {
    const least = this.#isOwn(writer) ? HELD.byOthers : HELD.byItsWriter;
    return spans.reduce<Held>((held, span) => worse(held, this.#heldSpan(span)), least);
  }

  ask(): void {
    const { acks, announce, clock } = this.#parts;
    const nowMs = clock.monotonic();
    if (nowMs - this.#askedAtMs < ASK_EVERY_MS) return;
    this.#askedAtMs = nowMs;
    for (const { log, last } of this.#ownLogs()) {
      if (acks.reached(log) < last) announce({ kind: 'want', keygroup: log.keygroup, sequence: last });
    }
  }

  tellEvicted(logs: readonly EvictedLog[]): void {
    for (const { log, through } of logs) this.#parts.announce({ kind: 'evicted', log, through });
  }

  #heldSpan(span: LogSpan): Held {
    const holders = [...this.#parts.peers().values()].filter((peer) => this.#has(peer, span));
    if (holders.some(({ state }) => state === 'connected')) return HELD.byItsWriter;
    return holders.length > 0 ? HELD.byNodesAway : HELD.byNobody;
  }

  #has({ nodeId, node }: Peer, { log, first, last }: LogSpan): boolean {
    const handsOut = node?.handsOutSessions === true && node.keygroups.includes(log.keygroup);
    if (!handsOut || this.#evictedThrough(nodeId, log) >= first) return false;
    if (log.origin === nodeId) return node.incarnation === log.incarnation;
    return this.#isOwn(log) && this.#parts.acks.has(nodeId, log, last) && this.#isCarried({ log, first, last });
  }

  /** Where so much is evicted that not all of it is kept, nothing else can be counted on. */
  #evictedThrough(peer: NodeId, log: OriginLog): number {
    const { through } = this.#evictedAt(peer);
    return through.get(logText(log)) ?? (through.size < LOGS_MAX ? 0 : Number.POSITIVE_INFINITY);
  }

  /** Of who is no peer nothing is kept. */
  #evictedAt(peer: NodeId): ToldEvicted {
    const evicted = this.#evicted.get(peer) ?? { incarnation: undefined, through: new Map<string, number>() };
    if (this.#parts.peers().has(peer)) this.#evicted.set(peer, evicted);
    return evicted;
  }

  #isCarried({ log, first, last }: LogSpan): boolean {
    return ![...this.#parts.uncarried(log)].some((sequence) => sequence >= first && sequence <= last);
  }

  #isOwn(log: OriginLog): boolean {
    return isOf(log, this.#parts.replica);
  }

  #ownLogs(): { readonly log: OriginLog; readonly last: number }[] {
    const { replica, keygroups } = this.#parts;
    const { nodeId: origin, incarnation } = replica;
    return keygroups.map((keygroup) => {
      const log = { origin, incarnation, keygroup };
      return { log, last: replica.cursor(log).sequence };
    });
  }
}

function worse(a: Held, b: Held): Held {
  return a > b ? a : b;
}
