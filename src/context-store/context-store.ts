import type { ContextId, KeygroupId, SessionKey, UserId } from '../domain/identifiers.ts';
import type { SealedRecord } from '../domain/record/record-codec.ts';
import type { ContextMode, SessionRecord } from '../domain/record/turn-record.ts';
import type { AnswersElsewhere } from './answers-elsewhere.ts';
import type { ConversationIndex } from './conversation-index.ts';
import type { ErasureMarks } from './erasure-marks.ts';
import type { OnlyHereStatus, ReplicationStatus } from './replication-status.ts';
import type { TurnArbitration } from './turn-arbitration.ts';

/**
 * The replica of turn records on this node (paper §3.3). Absence is `undefined`; failure throws `store_unavailable`
 * and is never read as an empty context.
 */
export interface ContextStore {
  /** `undefined` when the contexts here are shared with no other node. */
  readonly sharing: SharedContexts | undefined;

  /** Absent where records are found by their session alone. */
  readonly conversations?: ConversationIndex;

  /**
   * Durable when it resolves: a crash of process or machine right after loses nothing. Idempotent by hash. A tombstone
   * removes the session's turns and refuses every later turn of it with `session_deleted`, in whatever order they come.
   * Throws `OutcomeUnknown` where the record may still be stored.
   */
  append(sealed: SealedRecord, options?: AppendOptions): Promise<void>;

  /** All records of a session, in turn order. Damaged ones are left out and counted. Marks the session as used. */
  read(key: SessionKey): Promise<StoredSession | undefined>;

  /**
   * One page of sessions of a keygroup, ordered by user and session id; deleted and expired ones are not listed, and are passed
   * over by the thousand: a page may be short, or empty, and still not the last. Bounded work per call.
   */
  list(query: SessionQuery): Promise<SessionPage>;

  /** The same of keys alone, also of sessions in which nothing was answered, as documents are. */
  keys(query: SessionQuery): Promise<KeyPage>;

  /**
   * Removes sessions whose every record expired at or before `nowMs`, tombstones too, or `only` that one; returns how many.
   * Bounded work per call.
   */
  expire(nowMs: number, only?: SessionKey): Promise<number>;

  /** The erasures that are held: what they are of is refused with `session_deleted`, whenever it comes. */
  readonly erasures: Pick<ErasureMarks, 'all' | 'of' | 'latest'>;

  /**
   * Removes what the user's erasures are of, from `after` on; to be called until there is no `next`. Bounded work per call.
   * Told as sessions that are removed.
   */
  erase(userId: UserId, after?: SessionKey): Promise<ErasedPage>;

  /**
   * Resolves when nothing outside of what is read here has what was erased of the user: no file of the store, no message on its
   * way. That may take as long as what carries records is away. Throws `store_unavailable`.
   */
  wipeErased(userId: UserId): Promise<void>;

  status(): Promise<StoreStatus>;

  /**
   * Calls `listener` once for every record that is new here, whoever wrote it: when it is durable, and before the `append`
   * that brought it resolves; not for a turn that was deleted in the same moment. Records are told in the order in which
   * they were taken in, listeners called in the order in which they came, each for itself: one that throws or rejects is logged.
   * Returns a function that ends it.
   */
  onRecord(listener: RecordListener): () => void;

  /**
   * Calls `listener` once for every session whose records are removed here: deleted, expired or evicted, by a request, a sweep
   * or a record from elsewhere. When that is durable, in order with the records that are told, and in the same way; a tombstone
   * is told as a record after it. Returns a function that ends it.
   */
  onRemoved(listener: RemovalListener): () => void;

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

export type RemovalListener = (key: SessionKey) => void;

/** What a store knows of the other nodes that have its records. */
export interface SharedContexts {
  /** `undefined` where nodes cannot ask each other about turns. */
  readonly arbitration?: TurnArbitration;
  /** `undefined` where nodes cannot ask each other about answers that are under way. */
  readonly answers?: AnswersElsewhere;
  status(): ReplicationStatus;
  /** What this node alone has of what it wrote, as far as its peers have said since it started; empty when they have it all. */
  onlyHere(): Promise<OnlyHereStatus[]>;
  /**
   * Asks the peers whether they are there and what they have, so that {@link status} and {@link onlyHere} tell of now, and not
   * of when they were last heard. Resolves after two seconds at most; never rejects.
   */
  refresh(): Promise<void>;
  /**
   * How many peers have a record of this node, durable. Resolves as soon as there is one, or after `waitMs` with what
   * there is, 0 included; 0 at once for a record that is not this node's or is gone. Throws `signal.reason` on abort.
   */
  awaitReplicated(hash: ContextId, waitMs: number, signal: AbortSignal): Promise<number>;
  /** Ends, and never rejects, with the fetch of that session that is under way; `undefined` where none is. */
  fetching?(key: SessionKey): Promise<unknown> | undefined;
  /**
   * Gets what peers hold of a session and this node does not; a store need not be able to. Resolves with how many records
   * came, which are durable, told to listeners and count as used, once every peer that can be reached has been asked; after
   * `waitMs` with 0, and then goes on by itself, within bounds of time and bytes. What peers hold stays as it is, as if
   * nobody had looked. A peer that does not answer is left out. Throws only `signal.reason` on abort.
   */
  fetch?(key: SessionKey, wait: { readonly waitMs: number; readonly signal: AbortSignal }): Promise<number>;
  /** Seals a record of this node so that the others can tell that it is; absent where nodes have no keys. Throws as `sealRecord`. */
  seal?(record: SessionRecord): SealedRecord;
}

export interface StoredSession {
  readonly deleted: boolean;
  /** Turn records; of a deleted session its tombstones. */
  readonly records: readonly SealedRecord[];
  /** Later than its records name where their times are unsure; absent when deleted. */
  readonly keptUntilMs?: number;
  /** Records of this session that could not be decoded. */
  readonly corrupt: number;
}

export interface ErasedPage {
  /** Of which something was removed. */
  readonly sessions: number;
  /** To go on after; `undefined` where there is nothing more. */
  readonly next: SessionKey | undefined;
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

interface Page {
  /** The session looked at last, listed or not, to go on after; `undefined` when there is none after it. */
  readonly next: SessionKey | undefined;
}

export interface SessionPage extends Page {
  readonly sessions: readonly SessionSummary[];
}

export interface KeyPage extends Page {
  readonly keys: readonly SessionKey[];
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
  /** Of them, those that no other node was known to hold: all, where contexts are shared with none. */
  readonly evictedLastCopies: number;
}
