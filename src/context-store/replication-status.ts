import type { Incarnation, KeygroupId, NodeId } from '../domain/identifiers.ts';
import type { PeerClock } from '../domain/time/node-time.ts';

/** What a node knows of its part in replication, whatever carries the records. */
export interface ReplicationStatus {
  readonly cluster: string;
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
  /** As other nodes are told. */
  readonly node: NodeDescription;
  readonly transport: TransportStatus;
  readonly outbox: readonly OutboxStatus[];
  readonly peers: readonly PeerStatus[];
  /** Nodes that wanted to join and may not, by id. */
  readonly refusedNodes: Readonly<Record<string, string>>;
}

/** This node's own end of what carries its records to the others. */
export interface TransportStatus {
  /** What carries them, in one word: `nats`, `fred`. */
  readonly kind: string;
  /** Where others fetch them, as they are told; `undefined` where they are told nothing. */
  readonly url: string | undefined;
  /** Whether records can leave this node now. */
  readonly connected: boolean;
  /** Why not, where that is known. */
  readonly reason?: string;
}

export interface OutboxStatus {
  readonly keygroup: KeygroupId;
  /** Records written here so far. */
  readonly last: number;
  /** Of them, handed over to the transport. */
  readonly published: number;
  /** Of them, too long for the transport: they are on this node alone. */
  readonly uncarried: number;
}

/** Records of a keygroup, served here now or not, that this node wrote and no other one is known to have. */
export interface OnlyHereStatus {
  readonly keygroup: KeygroupId;
  readonly records: number;
}

/**
 * `unreachable`: nothing of it can be reached. `silent`: its end of the transport answers, the node does not; records still
 * come. `refused`: it must not take part, `reason` says why.
 */
export type PeerState = 'unreachable' | 'silent' | 'refused' | 'connected';

/** Why a record that a peer sent was not taken in. */
export type RecordRefusal =
  | ('corrupt' | 'oversized' | 'foreign_keygroup' | 'foreign_origin' | 'unknown_sequence')
  /** It says that a node wrote it which signs what it writes, or every record has to be signed here. */
  | 'unsigned'
  /** The node that it names did not sign this. */
  | 'bad_signature'
  /** The certificate of the node that wrote it lists other keygroups, or it is an API key of such a node. */
  | 'not_listed';

export interface PeerStatus {
  readonly nodeId: NodeId;
  /** Where its records are fetched. */
  readonly url: string;
  readonly state: PeerState;
  readonly reason: string | undefined;
  /**
   * Its records wait at one of this version, which this node does not read yet: they are taken in once it is upgraded.
   * `undefined` where none does.
   */
  readonly needsRecordVersion: number | undefined;
  /** When it last answered. */
  readonly lastSeenMs: number | undefined;
  /** Its time of day as it last said; `undefined` of one that has not, or does not. */
  readonly clock: PeerClock | undefined;
  /** As the node described itself when it last answered. */
  readonly node: NodeDescription | undefined;
  readonly logs: readonly PeerLogStatus[];
  readonly refusedRecords: Readonly<Partial<Record<RecordRefusal, number>>>;
  /** Payload exchanged with it since the start, without what the transport and the layers below add. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface NodeDescription {
  readonly incarnation: Incarnation;
  readonly keygroups: readonly KeygroupId[];
  /** The newest version of a record that it reads. */
  readonly recordVersion: number;
  readonly httpUrl: string | undefined;
  /** Names of the models that it serves, the default one first; empty where it does not say. */
  readonly models: readonly string[];
  readonly location: { readonly latitude: number; readonly longitude: number } | undefined;
  /** Turns being answered. */
  readonly load: number | undefined;
}

export interface PeerLogStatus {
  readonly keygroup: KeygroupId;
  readonly incarnation: Incarnation;
  /** The peer's records settled here. */
  readonly cursor: number;
  /** The peer's records not yet settled here, as far as is known. */
  readonly lag: number;
}

/** Whether every record that a peer has written by now is here, as far as is known. */
export function hearsFromAll({ peers }: ReplicationStatus): boolean {
  return peers
    .filter(({ state }) => state !== 'refused')
    .every(({ state, logs }) => state !== 'unreachable' && logs.every(({ lag }) => lag === 0));
}

/**
 * Whether a session that is not here can still come: `possible`; `unshared`: every node known has described itself and none
 * serves the model; `heard`: all nodes have been heard, and have nothing that is not here.
 */
export type Outlook = 'possible' | 'unshared' | 'heard';

export function outlookFor(keygroup: KeygroupId, status: ReplicationStatus): Outlook {
  const { peers } = status;
  if (peers.length === 0) return 'possible';
  const cannotShare = ({ state, node }: PeerStatus) =>
    state === 'refused' || (node !== undefined && !node.keygroups.includes(keygroup));
  // One that was refused, or serves other models by now, may have records left for it.
  if (peers.every((peer) => cannotShare(peer) && peer.logs.every((log) => log.keygroup !== keygroup)))
    return 'unshared';
  return hearsFromAll(status) ? 'heard' : 'possible';
}
