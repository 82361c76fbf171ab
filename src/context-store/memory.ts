import { compareUtf8 } from '../domain/bytes.ts';
import { isDocument, ownerOf } from '../domain/cluster/documents.ts';
import { DiscedgeError } from '../domain/errors.ts';
import {
  type ContextId,
  type SessionKey,
  type SessionKeyText,
  sessionKeyText,
  type UserId,
} from '../domain/identifiers.ts';
import type { SealedRecord } from '../domain/record/record-codec.ts';
import { sessionKeyOf } from '../domain/record/turn-record.ts';
import type { WhenFull } from '../domain/when-full.ts';
import type { Environment } from '../environment/environment.ts';
import type {
  AppendOptions,
  ContextStore,
  ErasedPage,
  KeyPage,
  RecordListener,
  RemovalListener,
  SessionPage,
  SessionQuery,
  StoredSession,
  StoreStatus,
} from './context-store.ts';
import type { ConversationIndex } from './conversation-index.ts';
import { ConversationPlaces } from './conversation-places.ts';
import { ErasureMarks } from './erasure-marks.ts';
import {
  isExpired,
  isThere,
  refuseLateTurn,
  refuseOrphan,
  rowWith,
  type SessionRow,
  summaryOf,
} from './session-row.ts';
import {
  EVICTION_TARGET,
  LIST_LIMIT_MAX,
  SESSIONS_REMOVED_MAX,
  SESSIONS_SPARED_MAX,
  USE_NOTED_EVERY_MS,
} from './store-limits.ts';
import { StoreListeners } from './store-listeners.ts';
import { UserBytes } from './user-bytes.ts';

/** Record bytes kept unless told otherwise; decoded, they take several times as much memory. */
const BYTES_MAX_DEFAULT = 64 * 1024 * 1024;

interface MemorySession {
  readonly key: SessionKey;
  readonly row: SessionRow;
  readonly records: Map<ContextId, SealedRecord>;
}

/** A context store that lives as long as the process: for tests and nodes that may forget. "Durable" means kept in memory. */
export function memoryStore(
  { bytesMax = BYTES_MAX_DEFAULT, whenFull = 'evict' }: { readonly bytesMax?: number; readonly whenFull?: WhenFull },
  environment: Environment,
): ContextStore {
  return new MemoryStore({ bytesMax, whenFull }, environment);
}

class MemoryStore implements ContextStore {
  readonly sharing = undefined;
  readonly conversations: ConversationIndex = {
    find: async (wanted) => {
      this.#assertOpen();
      return this.#conversations.find(wanted);
    },
  };
  readonly erasures = new ErasureMarks();
  readonly #conversations = new ConversationPlaces();
  /** Least recently used first: a session is put at the end when it is used. */
  readonly #sessions = new Map<SessionKeyText, MemorySession>();
  readonly #bytesMax: number;
  readonly #whenFull: WhenFull;
  readonly #environment: Environment;
  readonly #listeners: StoreListeners;
  #records = 0;
  #bytes = 0;
  #deletedSessions = 0;
  #evictedSessions = 0;
  readonly #users = new UserBytes();
  #closed = false;

  constructor(limits: { readonly bytesMax: number; readonly whenFull: WhenFull }, environment: Environment) {
    this.#bytesMax = limits.bytesMax;
    this.#whenFull = limits.whenFull;
    this.#environment = environment;
    this.#listeners = new StoreListeners(environment.logger);
  }

  async append(sealed: SealedRecord, options?: AppendOptions): Promise<void> {
    this.#assertOpen();
    if (sealed.record.kind === 'turn' && !isDocument(sealed.record)) this.#requireRoom();
    this.erasures.refuse(sealed.record);
    const key = sessionKeyOf(sealed.record);
    const session = this.#sessions.get(sessionKeyText(key));
    refuseOrphan(session?.row, options);
    refuseLateTurn(session?.row, sealed);
    if (session?.records.has(sealed.hash) === true) return;
    const first = sealed.record.kind === 'tombstone' && session?.row.deleted === false;
    const records = first ? new Map() : (session?.records ?? new Map());
    records.set(sealed.hash, sealed);
    const row = rowWith(session?.row, sealed, this.#environment.clock.now());
    const bytesBefore = this.#bytes;
    this.#replace(session, { key, row, records });
    if (first) this.#forgetConversations(session);
    this.#conversations.add(sealed);
    if (first) this.#listeners.tellRemoved(key);
    if (this.#bytes > Math.max(this.#bytesMax, bytesBefore)) this.#evict(sessionKeyText(key));
    this.erasures.note(sealed.record);
    this.#listeners.tell(sealed, 'here');
  }

  async read(key: SessionKey): Promise<StoredSession | undefined> {
    this.#assertOpen();
    const session = this.#sessions.get(sessionKeyText(key));
    if (session === undefined) return undefined;
    const usedAtMs = this.#environment.clock.now();
    if (usedAtMs - session.row.lastUsedAtMs >= USE_NOTED_EVERY_MS)
      this.#replace(session, { ...session, row: { ...session.row, lastUsedAtMs: usedAtMs } });
    const records = [...session.records.values()].sort(inTurnOrder);
    if (session.row.deleted) return { deleted: true, records, corrupt: 0 };
    return { deleted: false, records, keptUntilMs: session.row.expiresAtMs, corrupt: 0 };
  }

  async list(query: SessionQuery): Promise<SessionPage> {
    const { shown, next } = this.#page(query, ({ mode }) => mode !== undefined);
    return { sessions: shown.flatMap(({ key, row }) => summaryOf(key, row, query.nowMs) ?? []), next };
  }

  async keys(query: SessionQuery): Promise<KeyPage> {
    const { shown, next } = this.#page(query, () => true);
    return { keys: shown.map(({ key }) => key), next };
  }

  #page(query: SessionQuery, shows: (row: SessionRow) => boolean) {
    this.#assertOpen();
    const limit = Math.min(query.limit, LIST_LIMIT_MAX);
    const following = [...this.#sessions.values()]
      .filter(({ key }) => key.keygroup === query.keygroup)
      .filter(({ key }) => query.userId === undefined || key.userId === query.userId)
      .filter(({ key }) => query.after === undefined || inKeyOrder(query.after, key) < 0)
      .filter(({ row }) => isThere(row, query.nowMs) && shows(row))
      .sort((a, b) => inKeyOrder(a.key, b.key));
    const shown = following.slice(0, limit);
    return { shown, next: following.length > limit ? shown.at(-1)?.key : undefined };
  }

  async expire(nowMs: number, only?: SessionKey): Promise<number> {
    this.#assertOpen();
    let removed = 0;
    const one = only && this.#sessions.get(sessionKeyText(only));
    for (const session of only === undefined ? this.#sessions.values() : one === undefined ? [] : [one]) {
      if (removed === SESSIONS_REMOVED_MAX) break;
      if (!isExpired(session.row, nowMs)) continue;
      this.#remove(session);
      removed++;
    }
    return removed;
  }

  async erase(userId: UserId): Promise<ErasedPage> {
    this.#assertOpen();
    let sessions = 0;
    for (const session of [...this.#sessions.values()].filter(({ key }) => ownerOf(key) === userId)) {
      const all = [...session.records.values()];
      const left = all.filter(({ record }) => !this.erasures.erases(record));
      if (left.length === all.length) continue;
      sessions++;
      this.#remove(session);
      if (left.length === 0) continue;
      const { lastUsedAtMs } = session.row;
      const row = left.reduce<SessionRow | undefined>((row, sealed) => rowWith(row, sealed, lastUsedAtMs), undefined);
      for (const sealed of left) this.#conversations.add(sealed);
      const records = new Map(left.map((sealed) => [sealed.hash, sealed]));
      this.#replace(undefined, { key: session.key, row: row as SessionRow, records });
    }
    return { sessions, next: undefined };
  }

  async wipeErased(): Promise<void> {
    this.#assertOpen();
  }

  async status(): Promise<StoreStatus> {
    this.#assertOpen();
    return {
      sessions: this.#sessions.size - this.#deletedSessions,
      records: this.#records,
      bytes: this.#bytes,
      corruptRecords: 0,
      evictedSessions: this.#evictedSessions,
      evictedLastCopies: this.#evictedSessions,
    };
  }

  onRecord(listener: RecordListener): () => void {
    return this.#listeners.onRecord(listener);
  }

  onRemoved(listener: RemovalListener): () => void {
    return this.#listeners.onRemoved(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#sessions.clear();
  }

  #replace(before: MemorySession | undefined, after: MemorySession | undefined): void {
    const key = before?.key ?? after?.key;
    if (key !== undefined) this.#users.count(key, before?.row, after?.row);
    if (before !== undefined) {
      this.#sessions.delete(sessionKeyText(before.key));
      this.#records -= before.row.records;
      this.#bytes -= before.row.bytes;
      if (before.row.deleted) this.#deletedSessions--;
    }
    if (after !== undefined) {
      this.#sessions.set(sessionKeyText(after.key), after);
      this.#records += after.row.records;
      this.#bytes += after.row.bytes;
      if (after.row.deleted) this.#deletedSessions++;
    }
  }

  #remove(session: MemorySession): void {
    this.erasures.forget(session.key);
    this.#replace(session, undefined);
    this.#forgetConversations(session);
    this.#listeners.tellRemoved(session.key);
  }

  #forgetConversations({ records }: MemorySession): void {
    for (const sealed of records.values()) this.#conversations.remove(sealed);
  }

  #requireRoom(): void {
    if (this.#whenFull === 'evict' || this.#bytes <= this.#bytesMax) return;
    throw new DiscedgeError('store_unavailable', 'the context store takes no turns: it is full');
  }

  #evict(justWritten: SessionKeyText): void {
    if (this.#whenFull === 'refuse') return;
    let sessions = 0;
    const take = (spares: (userId: UserId) => boolean) => {
      for (const [keyText, session] of this.#sessions) {
        if (this.#bytes <= this.#bytesMax * EVICTION_TARGET || sessions === SESSIONS_REMOVED_MAX) break;
        if (session.row.deleted || isDocument(session.key)) continue;
        if (spares(session.key.userId) || keyText === justWritten) continue;
        this.#remove(session);
        sessions++;
      }
    };
    let spared = 0;
    const part = this.#bytesMax * EVICTION_TARGET;
    take((userId) => this.#users.isWithinPart(userId, part) && ++spared <= SESSIONS_SPARED_MAX);
    if (this.#bytes > this.#bytesMax) take(() => false);
    if (sessions === 0) return;
    this.#evictedSessions += sessions;
    this.#environment.logger.warn('sessions_evicted', { sessions, lastCopies: sessions, bytes: this.#bytes });
  }

  #assertOpen(): void {
    if (this.#closed) throw new DiscedgeError('store_unavailable', 'the context store is closed');
  }
}

function inTurnOrder(a: SealedRecord, b: SealedRecord): number {
  return depth(a) - depth(b) || (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0);
}

function depth({ record }: SealedRecord): number {
  return record.kind === 'turn' ? record.turn : 0;
}

function inKeyOrder(a: SessionKey, b: SessionKey): number {
  return compareUtf8(a.userId, b.userId) || compareUtf8(a.sessionId, b.sessionId);
}
