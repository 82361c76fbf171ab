import type { KeygroupId, SessionKey, UserId } from '../domain/identifiers.ts';
import type { SealedRecord } from '../domain/record-codec.ts';
import type { ContextMode } from '../domain/turn-record.ts';

/**
 * The replica of turn records on this node (paper §3.3). Absence is `undefined`; failure throws `store_unavailable`
 * and is never read as an empty context.
 */
export interface ContextStore {
  /**
   * Durable when it resolves: a crash of process or machine right after loses nothing. Idempotent by hash. A tombstone
   * removes the session's turns and refuses every later turn of it with `session_deleted`, in whatever order they come.
   */
  append(sealed: SealedRecord): Promise<void>;

  /** All records of a session, in turn order. Damaged ones are left out and counted. Marks the session as used. */
  read(key: SessionKey): Promise<StoredSession | undefined>;

  /** One page of sessions of a keygroup, ordered by user and session id; deleted and expired ones are not listed. */
  list(query: SessionQuery): Promise<SessionSummary[]>;

  /** Removes sessions whose every record expired before `nowMs`, tombstones too; returns how many. Bounded work per call. */
  expire(nowMs: number): Promise<number>;

  status(): Promise<StoreStatus>;

  /** Waits for writes under way. Idempotent. */
  close(): Promise<void>;
}

/** A store that hears of records written elsewhere. */
export interface WatchableStore extends ContextStore {
  /** Called after a record from another node is durable here. Returns a function that ends the watch. */
  watch(listener: (sealed: SealedRecord) => void): () => void;
}

export function isWatchable(store: ContextStore): store is WatchableStore {
  return 'watch' in store;
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
  readonly sessions: number;
  readonly records: number;
  readonly bytes: number;
  /** Damaged records met since the start. */
  readonly corruptRecords: number;
  /** Sessions removed since the start to stay below the configured size. */
  readonly evictedSessions: number;
}
