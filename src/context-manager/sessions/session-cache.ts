import type { ContextStore, StoredSession } from '../../context-store/context-store.ts';
import { type SessionKey, type SessionKeyText, sessionKeyText } from '../../domain/identifiers.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import { formatVersionOf } from '../../domain/record/record-version.ts';
import { sessionKeyOf } from '../../domain/record/turn-record.ts';
import { keepsUntilMs } from '../../domain/record/unsure-time.ts';
import { SessionHistory } from '../../domain/session/session-history.ts';
import type { Lifetimes } from '../../domain/time/lifetimes.ts';
import type { NodeTime } from '../../domain/time/node-time.ts';
import type { TokenContext } from '../modes/token-context.ts';
import { SharedRoom } from './shared-room.ts';

/** A session as the Context Manager holds it in memory. The store stays the truth. */
export interface CachedSession {
  readonly key: SessionKey;
  readonly history: SessionHistory;
  readonly deleted: boolean;
  /** Records of it that could not be read. */
  readonly corrupt: number;
  /**
   * The folded ids of the line last worked on, so that a turn costs what it adds and not what came before. A turn takes
   * it out and puts it back once it is stored: one that fails leaves nothing behind.
   */
  tokens: TokenContext | undefined;
}

/** Rough bytes of a cached session without its turns: maps, key, entry. */
const SESSION_OVERHEAD_BYTES = 1000;
/** Rough bytes of a cached turn beside its ids: maps, record object, strings, its place in the folded context. */
const TURN_OVERHEAD_BYTES = 1800;
/**
 * A number in an array, held once in the record and once in the folded context, whatever a template changes there, and that array has
 * room for up to half as many again.
 */
const TOKEN_BYTES = 20;
/** Of an object that says what ids stand for. */
const MARK_BYTES = 200;
/** At most, in a record: ids of vocabularies of up to two million tokens. */
const TOKEN_RECORD_BYTES = 3;

/** A read of the store under way. */
interface Reading {
  /** What has arrived meanwhile: it may be missing from what is read, so it is added afterwards. */
  readonly arrived: SealedRecord[];
  /** The session was removed meanwhile: what is read may still be there with it. */
  isOutdated: boolean;
}

export interface SessionCacheParts {
  readonly store: ContextStore;
  readonly time: NodeTime;
  readonly bytesMax: number;
  readonly lifetimes: Lifetimes;
}

/**
 * Sessions in use, read from the store on a miss. Bounded by an estimate of their memory, which users share; the least recently
 * used go first, see {@link SharedRoom}.
 */
export class SessionCache {
  readonly #store: ContextStore;
  readonly #time: NodeTime;
  readonly #lifetimes: Lifetimes;
  readonly #room: SharedRoom<CachedSession>;
  readonly #reads = new Map<SessionKeyText, Reading & { readonly session: Promise<CachedSession> }>();

  constructor({ store, time, bytesMax, lifetimes }: SessionCacheParts) {
    this.#store = store;
    this.#time = time;
    this.#room = new SharedRoom(bytesMax, () => time.nowMs);
    this.#lifetimes = lifetimes;
  }

  get sizeBytes(): number {
    return this.#room.bytes;
  }

  /**
   * The session as it is now: empty when there is none, and when it has expired, whether or not it had been swept.
   * Throws what the store throws.
   */
  async load(key: SessionKey): Promise<CachedSession> {
    const session = await this.#held(key);
    const nowMs = this.#time.endedUpToMs;
    const { expiresAtMs } = session.history;
    if (expiresAtMs === 0 || !this.#lifetimes.isOver(expiresAtMs, nowMs)) return session;
    // A turn may still be under way that prolongs a shared session, so it is only left out of sight.
    if (!this.#lifetimes.endsAtOnce) return emptySession(key);
    // Out of the store as well: a turn appended to what is left there would bring it back to life.
    this.forget(key);
    await this.#store.expire(nowMs, key);
    return this.#held(key);
  }

  /** Whether there is something of the session, all of it over. Throws what the store throws. */
  async hasEnded(key: SessionKey): Promise<boolean> {
    const { expiresAtMs } = (await this.#held(key)).history;
    return expiresAtMs !== 0 && this.#lifetimes.isOver(expiresAtMs, this.#time.endedUpToMs);
  }

  /** Takes in a record that is durable in the store. */
  add(sealed: SealedRecord): void {
    const keyText = sessionKeyText(sessionKeyOf(sealed.record));
    this.#reads.get(keyText)?.arrived.push(sealed);
    const history = this.#room.peek(keyText)?.history;
    if (history === undefined) return;
    if (sealed.record.kind === 'tombstone') this.#room.delete(keyText);
    else if (history.add(sealed)) {
      history.keepUntil(keepsUntilMs(sealed.record, this.#time.nowMs));
      this.#room.grow(keyText, costBytes(sealed));
    }
  }

  /** The store has removed the session: whoever loads it, or is loading it, finds what is there now. */
  remove(key: SessionKey): void {
    const keyText = sessionKeyText(key);
    this.#room.delete(keyText);
    const reading = this.#reads.get(keyText);
    if (reading === undefined) return;
    reading.isOutdated = true;
    reading.arrived.length = 0;
  }

  /** The next load reads the store, even if a read is under way. */
  forget(key: SessionKey): void {
    const keyText = sessionKeyText(key);
    this.#room.delete(keyText);
    this.#reads.delete(keyText);
  }

  /** Concurrent callers share one read. */
  #held(key: SessionKey): Promise<CachedSession> | CachedSession {
    const keyText = sessionKeyText(key);
    const session = this.#room.use(keyText);
    if (session !== undefined) return session;
    const under = this.#reads.get(keyText);
    if (under !== undefined) return under.session;
    const reading: Reading = { arrived: [], isOutdated: false };
    const read = Object.assign(reading, { session: this.#read(key, keyText, reading) });
    this.#reads.set(keyText, read);
    const done = () => void (this.#reads.get(keyText) === read && this.#reads.delete(keyText));
    read.session.then(done, done);
    return read.session;
  }

  async #read(key: SessionKey, keyText: SessionKeyText, reading: Reading): Promise<CachedSession> {
    let stored: StoredSession | undefined;
    do {
      reading.isOutdated = false;
      stored = await this.#store.read(key);
    } while (reading.isOutdated);
    const records = [...(stored?.records ?? []), ...reading.arrived];
    const deleted = (stored?.deleted ?? false) || records.some(({ record }) => record.kind === 'tombstone');
    const history = new SessionHistory();
    let bytes = SESSION_OVERHEAD_BYTES;
    for (const sealed of deleted ? [] : records) if (history.add(sealed)) bytes += costBytes(sealed);
    history.keepUntil(stored?.keptUntilMs ?? 0);
    for (const { record } of reading.arrived) history.keepUntil(keepsUntilMs(record, this.#time.nowMs));
    const session: CachedSession = { key, history, deleted, corrupt: stored?.corrupt ?? 0, tokens: undefined };
    const forgotten = this.#reads.get(keyText) !== reading;
    if (!deleted && !forgotten) this.#room.put(keyText, key.userId, session, bytes);
    return session;
  }
}

function emptySession(key: SessionKey): CachedSession {
  return { key, history: new SessionHistory(), deleted: false, corrupt: 0, tokens: undefined };
}

function costBytes({ record, bytes }: SealedRecord): number {
  if (record.kind !== 'turn') return 0;
  const { payload } = record;
  const isPlain = formatVersionOf(record) === 1;
  if (payload.mode === 'items') return TURN_OVERHEAD_BYTES + 2 * bytes.length;
  if (payload.mode === 'raw') {
    const text = payload.reply.length + payload.messages.reduce((sum, { content }) => sum + content.length, 0);
    return TURN_OVERHEAD_BYTES + 2 * text + (isPlain ? 0 : 2 * bytes.length);
  }
  const { promptIds, replyIds, replyText = '', marks = [] } = payload;
  const tokens = promptIds.length + replyIds.length;
  // What is there beside ids and plain text is all in the record's bytes.
  const beside = isPlain ? 0 : MARK_BYTES * marks.length + 2 * Math.max(0, bytes.length - TOKEN_RECORD_BYTES * tokens);
  return TURN_OVERHEAD_BYTES + TOKEN_BYTES * tokens + 2 * replyText.length + beside;
}
