import type {
  ContextStore,
  RecordListener,
  SessionQuery,
  SessionSummary,
  SharedContexts,
  StoreStatus,
} from '../../context-store/context-store.ts';
import { hearsFromAll } from '../../context-store/replication-status.ts';
import type { SessionKey } from '../../domain/identifiers.ts';
import { Lifetimes } from '../../domain/lifetimes.ts';
import { type SealedRecord, sealRecord } from '../../domain/record/record-codec.ts';
import { type SessionRecord, sessionKeyOf } from '../../domain/record/turn-record.ts';
import type { Clock } from '../../environment/environment.ts';
import { type CachedSession, SessionCache } from './session-cache.ts';

export interface SessionRecordsParts {
  readonly store: ContextStore;
  readonly clock: Clock;
  /** Memory for sessions in use. */
  readonly cacheBytesMax: number;
}

/**
 * The one door to a node's records: they are written, read, listed and removed here, and whoever wants to know of them
 * listens here. A record, from this node or another, is durable in the store first, then in the cache, then told.
 */
export class SessionRecords {
  readonly lifetimes: Lifetimes;
  readonly #store: ContextStore;
  readonly #clock: Clock;
  readonly #cache: SessionCache;

  constructor({ store, clock, cacheBytesMax: bytesMax }: SessionRecordsParts) {
    this.#store = store;
    this.#clock = clock;
    this.lifetimes = store.sharing === undefined ? Lifetimes.alone : Lifetimes.shared;
    this.#cache = new SessionCache({ store, clock, bytesMax, lifetimes: this.lifetimes });
    // The first to listen: whoever listens after it finds the record when loading its session.
    store.onRecord((sealed) => this.#cache.add(sealed));
  }

  /** `undefined` when the contexts here are shared with no other node. */
  get sharing(): SharedContexts | undefined {
    return this.#store.sharing;
  }

  get cacheBytes(): number {
    return this.#cache.sizeBytes;
  }

  /** The session as it is now; see {@link SessionCache.load}. */
  load(key: SessionKey): Promise<CachedSession> {
    return this.#cache.load(key);
  }

  /** The next load reads the store. */
  forget(key: SessionKey): void {
    this.#cache.forget(key);
  }

  /** A page of the sessions that are not over. */
  list(query: Omit<SessionQuery, 'nowMs'>): Promise<SessionSummary[]> {
    return this.#store.list({ ...query, nowMs: this.lifetimes.overUpTo(this.#clock.now()) });
  }

  /** The record is durable on this node when it resolves (DESIGN §3.8). Throws what `append` throws. */
  write(record: SessionRecord): Promise<SealedRecord> {
    return this.writeSealed(sealRecord(record));
  }

  async writeSealed(sealed: SealedRecord): Promise<SealedRecord> {
    const { record } = sealed;
    try {
      await this.#store.append(sealed, { continues: record.kind === 'turn' && record.turn > 1 });
    } catch (error) {
      // It may have been stored all the same: only the store knows, and a retry must find it.
      this.#cache.forget(sessionKeyOf(record));
      throw error;
    }
    return sealed;
  }

  /** Removes sessions that nothing can prolong any more; returns how many. Bounded work per call. */
  removeExpired(): Promise<number> {
    const isWhole = this.sharing === undefined || hearsFromAll(this.sharing.status());
    return this.#store.expire(this.lifetimes.removableUpTo(this.#clock.now(), { hearsFromAll: isWhole }));
  }

  /** Told of every record that is new here; see {@link ContextStore.onRecord}. A session loaded then holds it already. */
  onRecord(listener: RecordListener): () => void {
    return this.#store.onRecord(listener);
  }

  status(): Promise<StoreStatus> {
    return this.#store.status();
  }
}
