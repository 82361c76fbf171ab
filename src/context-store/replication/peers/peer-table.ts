import type { KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import type { OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import type { PeerState, PeerStatus } from '../../replication-status.ts';
import type { ArbiterNode } from '../../turn-arbitration.ts';
import type { PeerCalls } from './peer-calls.ts';
import type { NodeAnnouncement } from './peer-protocol.ts';

/** Another node, whatever carries what is said to it. */
export interface Peer {
  readonly nodeId: NodeId;
  readonly state: PeerState;
  /** As it last described itself, and was accepted. */
  readonly node: NodeAnnouncement | undefined;
  readonly calls: PeerCalls;
  status(): PeerStatus;
  /** Greets it now. */
  lookAgain(): void;
  /** Whether one that was there still is. */
  probe(waitMs: number): Promise<void>;
}

/** What a node says of itself that it can be asked for. */
type Ability = 'handsOutSessions' | 'arbitratesTurns' | 'tellsOfAnswers';

/** The peers of a node by their ids, and who of them can be asked what. */
export class PeerTable<P extends Peer = Peer> extends Map<NodeId, P> {
  get statuses(): PeerStatus[] {
    return [...this.values()].map((peer) => peer.status());
  }

  get areAllConnected(): boolean {
    return [...this.values()].every(({ state }) => state === 'connected');
  }

  /** Whether nobody of that id can be asked now. */
  isAway(nodeId: NodeId): boolean {
    return this.get(nodeId)?.state !== 'connected';
  }

  lookAgain(): void {
    for (const peer of this.values()) peer.lookAgain();
  }

  /** When a node goes away, others may have records of it that this node lacks. */
  lookAround(changed: P | undefined): void {
    if (changed === undefined || changed.state === 'connected' || changed.node === undefined) return;
    for (const peer of this.#connectedBut(changed)) peer.lookAgain();
  }

  /** Whoever does not answer within this time is not connected after it. */
  async probe(waitMs: number): Promise<void> {
    await Promise.all([...this.values()].map((peer) => peer.probe(waitMs)));
  }

  /** All that can be asked now but this one. */
  holdersBut(nodeId: NodeId): PeerCalls[] {
    return this.#connectedBut(this.get(nodeId)).map(({ calls }) => calls);
  }

  /** Those that may have a session of the keygroup, and can be asked for it now. */
  sessionHolders(keygroup: KeygroupId): PeerCalls[] {
    return this.#able('handsOutSessions', keygroup);
  }

  /** Those that can be asked now about answers of the keygroup. */
  answeringPeers(keygroup: KeygroupId): PeerCalls[] {
    return this.#able('tellsOfAnswers', keygroup);
  }

  /** The peer, where it can be asked now about turns of the keygroup. */
  askedPeer(nodeId: NodeId, keygroup: KeygroupId): PeerCalls | undefined {
    return asked(this.get(nodeId), 'arbitratesTurns', keygroup);
  }

  /** Those that share the keygroup, as far as is known, whether they can be asked about turns now or not. */
  arbiters(keygroup: KeygroupId): ArbiterNode[] {
    return [...this.values()].flatMap(({ nodeId, node }) => {
      if (node?.keygroups.includes(keygroup) !== true) return [];
      return [{ nodeId, isReachable: this.askedPeer(nodeId, keygroup) !== undefined }];
    });
  }

  /** Those that may have records of the keygroup, as far as is known, whether they can be asked now or not. */
  mayHold(keygroup: KeygroupId): NodeId[] {
    return [...this.values()].flatMap(({ nodeId, node }) =>
      node === undefined || node.keygroups.includes(keygroup) ? [nodeId] : [],
    );
  }

  /** Whether the node that writes the log hands it out itself, now. */
  handsOut({ origin, incarnation, keygroup }: OriginLog): boolean {
    const { state, node } = this.get(origin) ?? {};
    return state === 'connected' && node?.incarnation === incarnation && node.keygroups.includes(keygroup);
  }

  /** Whether the log is this node's own, or that of a node known here, and of its disk. */
  isCurrent({ origin, incarnation }: OriginLog, own: Pick<ReplicaStore, 'nodeId' | 'incarnation'>): boolean {
    const known = origin === own.nodeId ? own.incarnation : this.get(origin)?.node?.incarnation;
    return known === incarnation;
  }

  #able(ability: Ability, keygroup: KeygroupId): PeerCalls[] {
    return [...this.values()].flatMap((peer) => asked(peer, ability, keygroup) ?? []);
  }

  #connectedBut(other: P | undefined): P[] {
    return [...this.values()].filter((peer) => peer !== other && peer.state === 'connected');
  }
}

function asked(peer: Peer | undefined, ability: Ability, keygroup: KeygroupId): PeerCalls | undefined {
  const answers = peer?.node?.[ability] === true && peer.node.keygroups.includes(keygroup);
  return answers && peer.state === 'connected' ? peer.calls : undefined;
}
