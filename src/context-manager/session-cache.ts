import type { ContextStore } from '../context-store/context-store.ts';
import { type SessionKey, sessionKeyText } from '../domain/identifiers.ts';
import type { SealedRecord } from '../domain/record-codec.ts';
import { SessionHistory } from '../domain/session-history.ts';
import { sessionKeyOf, type TurnRecord } from '../domain/turn-record.ts';
import type { TokenContext } from './token-context.ts';

/** A session as the Context Manager holds it in memory. The store stays the truth. */
export interface CachedSession {
  readonly key: SessionKey;
  readonly history: SessionHistory;
  /** Records of it that could not be read. */
  readonly corrupt: number;
  deleted: boolean;
  /** The folded ids of the line last worked on, so that a turn costs what it adds and not what came before. */
  tokens: TokenContext | undefined;
}

/** Rough bytes of a cached turn beside its ids: maps, record object, strings. */
const TURN_OVERHEAD_BYTES = 1500;
/** A number in an array, held once in the record and once in the folded context. */
const TOKEN_BYTES = 16;

/** Least-recently-used sessions, read from the store on a miss. Bounded by an estimate of their memory. */
export class SessionCache {
  readonly #store: ContextStore;
  readonly #bytesMax: number;
  readonly #entries = new Map<string, { session: CachedSession; bytes: number }>();
  readonly #loading = new Map<string, Promise<CachedSession>>();
  /** Sessions that changed while they were being read: what was read may lack the change. */
  readonly #outrun = new Set<string>();
  #bytes = 0;

  constructor(store: ContextStore, bytesMax: number) {
    this.#store = store;
    this.#bytesMax = bytesMax;
  }

  get sizeBytes(): number {
    return this.#bytes;
  }

  /** The session, empty when there is none. Concurrent callers share one read. Throws what the store throws. */
  async load(key: SessionKey): Promise<CachedSession> {
    const name = sessionKeyText(key);
    const entry = this.#entries.get(name);
    if (entry !== undefined) {
      this.#entries.delete(name);
      this.#entries.set(name, entry);
      return entry.session;
    }
    const under = this.#loading.get(name);
    if (under !== undefined) return under;
    const loading = this.#readSettled(key, name).finally(() => this.#loading.delete(name));
    this.#loading.set(name, loading);
    return loading;
  }

  /** Takes in a record that is durable in the store, written here or elsewhere. */
  add(sealed: SealedRecord): void {
    const name = sessionKeyText(sessionKeyOf(sealed.record));
    if (this.#loading.has(name)) this.#outrun.add(name);
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    if (sealed.record.kind === 'tombstone') {
      entry.session.deleted = true;
      this.#drop(name);
      return;
    }
    if (entry.session.history.add(sealed)) {
      const added = costBytes(sealed);
      entry.bytes += added;
      this.#bytes += added;
      this.#shrink();
    }
  }

  /**
   * Adds a record to the session object a turn was worked on. When the cache has meanwhile dropped or re-read the
   * session, its own copy may lack the record: it is dropped, so that the next turn reads the store.
   */
  commit(session: CachedSession, sealed: SealedRecord): void {
    const name = sessionKeyText(session.key);
    if (this.#entries.get(name)?.session === session) {
      this.add(sealed);
      return;
    }
    session.history.add(sealed);
    if (this.#entries.has(name)) this.#drop(name);
    else if (this.#loading.has(name)) this.#outrun.add(name);
    else this.#keep(name, session);
  }

  /** Forgets the copy; the next load reads the store. */
  forget(key: SessionKey): void {
    this.#drop(sessionKeyText(key));
  }

  async #readSettled(key: SessionKey, name: string): Promise<CachedSession> {
    for (;;) {
      this.#outrun.delete(name);
      const session = await this.#read(key);
      if (this.#outrun.has(name)) continue;
      if (session.history.size > 0) this.#keep(name, session);
      return session;
    }
  }

  async #read(key: SessionKey): Promise<CachedSession> {
    const stored = await this.#store.read(key);
    const history = new SessionHistory();
    for (const sealed of stored?.records ?? []) history.add(sealed);
    return { key, history, corrupt: stored?.corrupt ?? 0, deleted: stored?.deleted ?? false, tokens: undefined };
  }

  #keep(name: string, session: CachedSession): void {
    let bytes = 0;
    for (const turn of session.history.line()) bytes += turnBytes(turn.record.payload);
    this.#drop(name);
    this.#entries.set(name, { session, bytes });
    this.#bytes += bytes;
    this.#shrink();
  }

  #drop(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.#entries.delete(name);
    this.#bytes -= entry.bytes;
  }

  #shrink(): void {
    for (const name of this.#entries.keys()) {
      if (this.#bytes <= this.#bytesMax || this.#entries.size <= 1) return;
      this.#drop(name);
    }
  }
}

function costBytes(sealed: SealedRecord): number {
  return sealed.record.kind === 'turn' ? turnBytes(sealed.record.payload) : 0;
}

function turnBytes(payload: TurnRecord['payload']): number {
  if (payload.mode === 'tokenized')
    return TURN_OVERHEAD_BYTES + TOKEN_BYTES * (payload.promptIds.length + payload.replyIds.length);
  return (
    TURN_OVERHEAD_BYTES +
    2 * (payload.reply.length + payload.messages.reduce((sum, { content }) => sum + content.length, 0))
  );
}
