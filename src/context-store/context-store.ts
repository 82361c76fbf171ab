import type { ContextId, Incarnation, KeygroupId, NodeId, SessionKey, UserId } from '../domain/identifiers.ts';
import type { SealedRecord } from '../domain/record/record-codec.ts';
import type { ContextMode } from '../domain/record/turn-record.ts';

/**
 * The replica of turn records on this node (paper §3.3). Absence is `undefined`; failure throws `store_unavailable`
 * and is never read as an empty context.
 */
export interface ContextStore {
  /** `undefined` when the contexts here are shared with no other node. */
  readonly sharing: SharedContexts | undefined;

  /**
   * Durable when it resolves: a crash of process or machine right after loses nothing. Idempotent by hash. A tombstone
   * removes the session's turns and refuses every later turn of it with `session_deleted`, in whatever order they come.
   */
  append(sealed: SealedRecord, options?: AppendOptions): Promise<void>;

  /** All records of a session, in turn order. Damaged ones are left out and counted. Marks the session as used. */
  read(key: SessionKey): Promise<StoredSession | undefined>;

  /** One page of sessions of a keygroup, ordered by user and session id; deleted and expired ones are not listed. */
  list(query: SessionQuery): Promise<SessionSummary[]>;

  /** Removes sessions whose every record expired at or before `nowMs`, tombstones too; returns how many. Bounded work per call. */
  expire(nowMs: number): Promise<number>;

  status(): Promise<StoreStatus>;

  /**
   * Calls `listener` once for every record that is new here, whoever wrote it: when it is durable, and before the `append`
   * that brought it resolves; not for a turn that was deleted in the same moment. Records are told in the order in which
   * they were taken in, listeners called in the order in which they came, each for itself: one that throws is logged.
   * Returns a function that ends it.
   */
  onRecord(listener: RecordListener): () => void;

  /** Waits for writes under way. Idempotent. */
  close(): Promise<void>;
}

export interface AppendOptions {
  /**
   * The record continues a session that must still be held: `session_not_found` when it has been evicted or has expired
   * meanwhile. Without the turns before it the record could never be served, so it must not be acknowledged.
   */
  readonly continues?: boolean;
}

/** Whether this node wrote the record, or it came from another one, as this node's own do after it has lost its disk. */
export type RecordSource = 'here' | 'elsewhere';

export type RecordListener = (sealed: SealedRecord, from: RecordSource) => void;

/** What a store knows of the other nodes that have its records. */
export interface SharedContexts {
  status(): ReplicationStatus;
  /**
   * How many peers have a record of this node, durable. Resolves as soon as there is one, or after `waitMs` with what
   * there is, 0 included; 0 at once for a record that is not this node's or is gone. Throws `signal.reason` on abort.
   */
  awaitReplicated(hash: ContextId, waitMs: number, signal: AbortSignal): Promise<number>;
}

export interface ReplicationStatus {
  readonly cluster: string;
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
  /** As other nodes are told. */
  readonly node: NodeDescription;
  /** Of this node's own server, as others are told; `undefined` where they are told none. */
  readonly serverUrl: string | undefined;
  /** Whether this node's own server can be reached: records leave this node through it. */
  readonly serverConnected: boolean;
  readonly outbox: readonly OutboxStatus[];
  readonly peers: readonly PeerStatus[];
  /** Nodes that wanted to join and may not, by id. */
  readonly refusedNodes: Readonly<Record<string, string>>;
}

export interface OutboxStatus {
  readonly keygroup: KeygroupId;
  /** Records written here so far. */
  readonly last: number;
  /** Of them, handed over to this node's server. */
  readonly published: number;
}

/**
 * `unreachable`: no connection to its server. `silent`: its server answers, the node does not; records still come.
 * `refused`: it must not take part, `reason` says why.
 */
export type PeerState = 'unreachable' | 'silent' | 'refused' | 'connected';

/** Why a record that a peer sent was not taken in. */
export type RecordRefusal = 'corrupt' | 'oversized' | 'foreign_keygroup' | 'foreign_origin' | 'unknown_sequence';

export interface PeerStatus {
  readonly nodeId: NodeId;
  /** Of its nats-server. */
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
  /** As the node described itself when it last answered. */
  readonly node: NodeDescription | undefined;
  readonly logs: readonly PeerLogStatus[];
  readonly refusedRecords: Readonly<Partial<Record<RecordRefusal, number>>>;
  /** Payload over this node's connection to the peer's server since the start, without what NATS, TLS and TCP add. */
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

export interface StoredSession {
  readonly deleted: boolean;
  /** Turn records only; empty when deleted. */
  readonly records: readonly SealedRecord[];
  /** Records of this session that could not be decoded. */
  readonly corrupt: number;
}

export interface SessionQuery {
  readonly keygroup: KeygroupId;
  /** Only this user's. */
  readonly userId?: UserId | undefined;
  /** Sessions after this one, exclusive. */
  readonly after?: SessionKey | undefined;
  readonly limit: number;
  readonly nowMs: number;
}

export interface SessionSummary {
  readonly key: SessionKey;
  /** Deepest turn held. */
  readonly turns: number;
  readonly mode: ContextMode;
  /** Bytes of its records. */
  readonly bytes: number;
  readonly createdAtMs: number;
  /** When its newest record was written. */
  readonly updatedAtMs: number;
  readonly expiresAtMs: number;
}

export interface StoreStatus {
  /** Not deleted. */
  readonly sessions: number;
  readonly records: number;
  readonly bytes: number;
  /** Damaged records met since the start. */
  readonly corruptRecords: number;
  /** Sessions removed since the start to stay below the configured size. */
  readonly evictedSessions: number;
}
