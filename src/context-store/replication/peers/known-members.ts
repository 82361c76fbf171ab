import type { NodeId } from '../../../domain/identifiers.ts';
import type { Logger } from '../../../environment/environment.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import type { Member, NodeAnnouncement } from './peer-protocol.ts';

/** Name of the note that holds them. */
const MEMBERS = 'members';
/** Gone for so long a node makes room for one that wants to join, and no other is told of it. */
export const DEPARTED_MS = 3_600_000;
/** Gone for so long it is forgotten: as long as expired records are kept for a node that may return. */
export const FORGOTTEN_MS = 7 * 86_400_000;

/** What is remembered of a node from one start to the next. */
export interface KnownMember extends Member {
  readonly node?: NodeAnnouncement | undefined;
  /** For how long it has not been connected, counted while this node ran: no clock that jumps makes it longer. */
  readonly awayMs?: number;
}

/** Where the nodes of the cluster are, and how long each has been away; kept from one start to the next. */
export class KnownMembers {
  readonly #replica: Pick<ReplicaStore, 'note' | 'noted'>;
  readonly #logger: Logger;
  readonly #places = new Map<NodeId, Member>();
  readonly #awayMs = new Map<NodeId, number>();
  #remembered = '';

  constructor(replica: Pick<ReplicaStore, 'note' | 'noted'>, logger: Logger) {
    this.#replica = replica;
    this.#logger = logger;
  }

  read(): KnownMember[] {
    try {
      return JSON.parse(this.#replica.noted(MEMBERS) ?? '[]');
    } catch {
      return [];
    }
  }

  get(nodeId: NodeId): Member | undefined {
    return this.#places.get(nodeId);
  }

  set({ nodeId, natsUrl, hub, fred, awayMs = 0 }: KnownMember): void {
    this.#places.set(nodeId, {
      nodeId,
      ...(natsUrl !== undefined && { natsUrl }),
      ...(hub !== undefined && { hub }),
      ...(fred !== undefined && { fred }),
    });
    this.#awayMs.set(nodeId, awayMs);
  }

  delete(nodeId: NodeId): void {
    this.#places.delete(nodeId);
    this.#awayMs.delete(nodeId);
  }

  get all(): readonly Member[] {
    return [...this.#places.values()];
  }

  /** Those that another node is told of. */
  get present(): readonly Member[] {
    return this.all.filter(({ nodeId }) => this.#away(nodeId) < DEPARTED_MS);
  }

  /** So much time has passed; returns those that have been away for too long. */
  age(ms: number, isAway: (nodeId: NodeId) => boolean): NodeId[] {
    for (const { nodeId } of this.all) this.#awayMs.set(nodeId, isAway(nodeId) ? this.#away(nodeId) + ms : 0);
    return this.all.flatMap(({ nodeId }) => (this.#away(nodeId) >= FORGOTTEN_MS ? [nodeId] : []));
  }

  /** The one that has been away longest, of those that are departed and that `mayGo`. */
  longestAway(mayGo: (nodeId: NodeId) => boolean): NodeId | undefined {
    return this.all
      .map(({ nodeId }) => nodeId)
      .filter((nodeId) => this.#away(nodeId) >= DEPARTED_MS && mayGo(nodeId))
      .sort((a, b) => this.#away(b) - this.#away(a))[0];
  }

  remember(announcementOf: (nodeId: NodeId) => NodeAnnouncement | undefined): void {
    const members: KnownMember[] = this.all.map((place) => ({
      ...place,
      node: lasting(announcementOf(place.nodeId)),
      awayMs: this.#away(place.nodeId),
    }));
    const text = JSON.stringify(members);
    if (text === this.#remembered) return;
    this.#remembered = text;
    this.#replica.note(MEMBERS, text).catch((error) => {
      this.#logger.warn('members_not_remembered', {}, error);
    });
  }

  #away(nodeId: NodeId): number {
    return this.#awayMs.get(nodeId) ?? 0;
  }
}

/** What of a node does not change while it runs. */
function lasting(node: NodeAnnouncement | undefined): NodeAnnouncement | undefined {
  if (node === undefined) return undefined;
  const { load: _, ...rest } = node;
  return rest;
}
