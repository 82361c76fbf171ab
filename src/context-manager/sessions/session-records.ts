import type {
  ContextStore,
  ErasedPage,
  KeyPage,
  RecordListener,
  RemovalListener,
  SessionPage,
  SessionQuery,
  SharedContexts,
  StoreStatus,
} from '../../context-store/context-store.ts';
import type { ConversationPlace, WantedConversation } from '../../context-store/conversation-index.ts';
import { OutcomeUnknown } from '../../context-store/outcome-unknown.ts';
import { hearsFromAll } from '../../context-store/replication-status.ts';
import { ownerOf } from '../../domain/cluster/documents.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import { type SessionKey, type SessionKeyText, sessionKeyText, type UserId } from '../../domain/identifiers.ts';
import { erasedBefore, knowsErasure } from '../../domain/record/erasure.ts';
import { type SealedRecord, sealRecord } from '../../domain/record/record-codec.ts';
import { summaryPlaceOf } from '../../domain/record/summary.ts';
import { type SessionRecord, sessionKeyOf, type TombstoneRecord } from '../../domain/record/turn-record.ts';
import { markUnsure } from '../../domain/record/unsure-time.ts';
import { Lifetimes } from '../../domain/time/lifetimes.ts';
import type { NodeTime } from '../../domain/time/node-time.ts';
import { type CachedSession, SessionCache } from './session-cache.ts';

/** How soon it makes sense to ask whether a slow disk has ended a write. */
const DOUBT_RETRY_MS = 1000;
/** A reply is ready and waits to be stored; peers answer in a few ms. */
const FETCH_WAIT_MS = 1_000;

/** Written side by side: they share an fsync, and stay far below what may wait for the disk. */
const WRITTEN_AT_ONCE = 64;

export interface SessionRecordsParts {
  readonly store: ContextStore;
  readonly time: NodeTime;
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
  readonly #time: NodeTime;
  readonly #cache: SessionCache;
  /** Sessions with a write that may still be stored. At most those of one group commit. */
  readonly #inDoubt = new Map<SessionKeyText, OutcomeUnknown>();

  constructor({ store, time, cacheBytesMax: bytesMax }: SessionRecordsParts) {
    this.#store = store;
    this.#time = time;
    this.lifetimes = store.sharing === undefined ? Lifetimes.alone : Lifetimes.shared;
    this.#cache = new SessionCache({ store, time, bytesMax, lifetimes: this.lifetimes });
    // The first to listen: whoever listens after it finds the record when loading its session.
    store.onRecord((sealed) => this.#cache.add(sealed));
    store.onRemoved((key) => this.#cache.remove(key));
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

  /** Whether there is something of the session here, all of it over; see {@link SessionCache.hasEnded}. */
  hasEnded(key: SessionKey): Promise<boolean> {
    return this.#cache.hasEnded(key);
  }

  /** The next load reads the store. */
  forget(key: SessionKey): void {
    this.#cache.forget(key);
  }

  /** A page of the sessions that are not over; see {@link ContextStore.list}. */
  list(query: Omit<SessionQuery, 'nowMs'>): Promise<SessionPage> {
    return this.#store.list({ ...query, nowMs: this.lifetimes.overUpTo(this.#time.endedUpToMs) });
  }

  /** The same of keys, also of what is no conversation; see {@link ContextStore.keys}. */
  keys(query: Omit<SessionQuery, 'nowMs'>): Promise<KeyPage> {
    return this.#store.keys({ ...query, nowMs: this.lifetimes.overUpTo(this.#time.endedUpToMs) });
  }

  /**
   * Throws `store_unavailable` while a write to this session may still be stored. Until that is known the session can be
   * read, as what was acknowledged; to go on from it could give one turn two records. `wasInDoubt`: whether that was so when
   * what is gone on from began to be read, which may have missed what has been stored since.
   */
  requireKnown(key: SessionKey, { wasInDoubt }: { readonly wasInDoubt: boolean }): void {
    if (!wasInDoubt && !this.isInDoubt(key)) return;
    throw new DiscedgeError(
      'store_unavailable',
      'the disk has not said yet whether the last write to this session is stored; ask again',
      { retryAfterMs: DOUBT_RETRY_MS },
    );
  }

  /** Whether a write to this session may still be stored. */
  isInDoubt(key: SessionKey): boolean {
    return this.#inDoubt.has(sessionKeyText(key));
  }

  /** The record is durable on this node when it resolves (DESIGN §3.8). Throws what `append` throws. */
  write(record: SessionRecord): Promise<SealedRecord> {
    return this.writeSealed(this.seal(record));
  }

  /** A record of this node, as it is to be written: signed where the nodes have keys. Throws RangeError for what no record may say. */
  seal(record: SessionRecord): SealedRecord {
    return this.sharing?.seal?.(record) ?? sealRecord(record);
  }

  async writeSealed(sealed: SealedRecord): Promise<SealedRecord> {
    try {
      await this.#append(sealed);
    } catch (error) {
      if (!(await this.#isFetched(sealed.record, error))) throw error;
      await this.#append(sealed);
    }
    return sealed;
  }

  /** Some at once, in their order; ends when all of those have ended, and throws the first failure. */
  async writeAllSealed(all: readonly SealedRecord[]): Promise<void> {
    for (let from = 0; from < all.length; from += WRITTEN_AT_ONCE) {
      const some = all.slice(from, from + WRITTEN_AT_ONCE);
      for (const written of await Promise.allSettled(some.map((one) => this.writeSealed(one))))
        if (written.status === 'rejected') throw written.reason;
    }
  }

  async #append(sealed: SealedRecord): Promise<void> {
    const { record } = sealed;
    try {
      const continues = record.kind === 'turn' && (record.turn > 1 || summaryPlaceOf(record) !== undefined);
      await this.#store.append(sealed, { continues });
    } catch (error) {
      const key = sessionKeyOf(record);
      // It may have been stored all the same: only the store knows, and a retry must find it.
      this.#cache.forget(key);
      if (error instanceof OutcomeUnknown) void this.#doubt(key, error);
      throw error;
    }
  }

  async #doubt(key: SessionKey, outcome: OutcomeUnknown): Promise<void> {
    const keyText = sessionKeyText(key);
    this.#inDoubt.set(keyText, outcome);
    await outcome.known;
    // What was read meanwhile is not taken for the truth either.
    this.#cache.forget(key);
    if (this.#inDoubt.get(keyText) === outcome) this.#inDoubt.delete(keyText);
  }

  /** Whether the session was evicted while the turn was being answered, and is here again, up to the turn before. */
  async #isFetched(record: SessionRecord, error: unknown): Promise<boolean> {
    const { sharing } = this;
    if (record.kind !== 'turn' || record.parent === undefined || sharing?.fetch === undefined) return false;
    if (!(error instanceof DiscedgeError && error.code === 'session_not_found')) return false;
    const key = sessionKeyOf(record);
    await sharing.fetch(key, { waitMs: FETCH_WAIT_MS, signal: new AbortController().signal });
    return (await this.load(key)).history.get(record.parent) !== undefined;
  }

  /**
   * What a record of that session carries that is written now and here, and goes on from `before`: whether its times are to be believed
   * elsewhere, and of which erasure of its user it is not.
   */
  marksFor(key: SessionKey, before?: SessionRecord): Pick<SessionRecord, 'extensions'> {
    const unsure = markUnsure(this.sharing !== undefined && this.#time.isUnsure);
    const userId = ownerOf(key);
    const known = () => (userId === undefined ? 0 : this.#store.erasures.latest(userId));
    // What goes on from an erased record goes with it, and a record that has come can know of an erasure which has not.
    const stamp = before === undefined ? known() : erasedBefore(before);
    if (stamp === 0) return unsure;
    return { extensions: new Map([...(unsure.extensions ?? []), ...knowsErasure(stamp)]) };
  }

  /** The erasures of users that are held here; see {@link ContextStore.erasures}. */
  get erasures(): ContextStore['erasures'] {
    return this.#store.erasures;
  }

  /** Removes what a user's erasures are of; see {@link ContextStore.erase}. */
  erase(...args: Parameters<ContextStore['erase']>): Promise<ErasedPage> {
    return this.#store.erase(...args);
  }

  /** See {@link ContextStore.wipeErased}. */
  wipeErased(userId: UserId): Promise<void> {
    return this.#store.wipeErased(userId);
  }

  /** Whether a session whose records live until `expiresAtMs` is over. */
  isOver(expiresAtMs: number): boolean {
    return this.lifetimes.isOver(expiresAtMs, this.#time.endedUpToMs);
  }

  /**
   * Removes sessions that nothing can prolong any more; returns how many. None while the clock is in doubt. Bounded work per
   * call.
   */
  async removeExpired(): Promise<number> {
    if (this.#time.doubt !== undefined) return 0;
    const isWhole = this.sharing === undefined || hearsFromAll(this.sharing.status());
    return this.#store.expire(this.lifetimes.removableUpTo(this.#time.endedUpToMs, { hearsFromAll: isWhole }));
  }

  /** Where a user's client had that conversation, newest first; nowhere, in a store that does not know. */
  async findConversation(wanted: WantedConversation): Promise<readonly ConversationPlace[]> {
    return (await this.#store.conversations?.find(wanted)) ?? [];
  }

  /** Told of every record that is new here; see {@link ContextStore.onRecord}. A session loaded then holds it already. */
  onRecord(listener: RecordListener): () => void {
    return this.#store.onRecord(listener);
  }

  /** Told of every session whose records are removed here; see {@link ContextStore.onRemoved}. */
  onRemoved(listener: RemovalListener): () => void {
    return this.#store.onRemoved(listener);
  }

  /** Whether anything of the session is here but its deletion; asking does not bring it into the cache. */
  async holds(key: SessionKey): Promise<boolean> {
    const stored = await this.#store.read(key);
    return stored?.records.some(({ record }) => record.kind !== 'tombstone') ?? false;
  }

  /** The tombstones of a session that was deleted; none of one that was not. */
  async tombstones(key: SessionKey): Promise<readonly TombstoneRecord[]> {
    const { records = [] } = (await this.#store.read(key)) ?? {};
    return records.flatMap(({ record }) => (record.kind === 'tombstone' ? [record] : []));
  }

  status(): Promise<StoreStatus> {
    return this.#store.status();
  }
}
