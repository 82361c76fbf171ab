import {
  type ContextId,
  type KeygroupId,
  type SessionKey,
  type SessionKeyText,
  sessionKeyText,
} from '../../domain/identifiers.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import { sessionKeyOf } from '../../domain/record/turn-record.ts';
import type { AppendOptions, RecordSource } from '../context-store.ts';
import type { ErasureMarks } from '../erasure-marks.ts';
import { isExpired, refuseLateTurn, refuseOrphan, rowWith } from '../session-row.ts';
import { RECORDS_REMOVED_MAX, SESSIONS_REMOVED_MAX } from '../store-limits.ts';
import type { UserBytes } from '../user-bytes.ts';
import type { ErasedSession } from './erased-sessions.ts';
import type { LogChanges, LogPosition } from './log/origin-log.ts';
import { changed, live, type SessionChange, writeSession } from './session-change.ts';
import {
  type RecordKey,
  readRow,
  recordKey,
  recordKeys,
  sessionKeyFrom,
  type Tables,
  tableKey,
} from './tables/tables.ts';

/** Sums over all sessions, kept so that no one has to count. */
export interface StoreTotals {
  /** Not deleted. */
  readonly sessions: number;
  readonly records: number;
  readonly bytes: number;
}

/** A record that a group of work puts. */
export interface AddedRecord {
  readonly sealed: SealedRecord;
  readonly from: RecordSource;
}

/** A session and where an index has it. */
interface Indexed {
  readonly key: SessionKey;
  readonly atMs: number;
}

/**
 * What one group of work will change, decided against the tables before anything is written: every table entry follows
 * from a session's row before and after. With a log, its entries come and go with the records. A session is loaded before
 * anything is decided about it.
 */
export class SessionChanges {
  /** `undefined` where the store does not replicate. */
  readonly log: LogChanges | undefined;
  readonly #tables: Tables;
  readonly #erasures: ErasureMarks;
  readonly #changes = new Map<SessionKeyText, SessionChange>();
  readonly #added = new Map<ContextId, AddedRecord>();
  readonly #staleIndexEntries: (() => void)[] = [];
  readonly #rewrites: ((tables: Tables) => void)[] = [];

  constructor(tables: Tables, erasures: ErasureMarks, log?: LogChanges) {
    this.#tables = tables;
    this.#erasures = erasures;
    this.log = log;
  }

  get isEmpty(): boolean {
    if (this.#staleIndexEntries.length > 0 || this.#rewrites.length > 0 || this.log?.isEmpty === false) return false;
    return [...this.#changes.values()].every((change) => !changed(change));
  }

  /** What the tables have of a session; with `toRemove` the keys of its records, too. */
  async load(key: SessionKey, { toRemove = false } = {}): Promise<void> {
    const keyText = sessionKeyText(key);
    if (!this.#changes.has(keyText)) {
      const before = await readRow(this.#tables, key);
      if (!this.#changes.has(keyText))
        this.#changes.set(keyText, {
          key,
          before,
          after: before,
          added: new Map(),
          held: undefined,
          removed: undefined,
        });
    }
    if (!toRemove || this.#of(key).held !== undefined) return;
    const held: RecordKey[] = [];
    for await (const recordKey of recordKeys(this.#tables, key)) held.push(recordKey);
    this.#of(key).held = held;
  }

  /** What {@link append} of it needs. */
  loadFor(sealed: SealedRecord): Promise<void> {
    return this.load(sessionKeyOf(sealed.record), { toRemove: sealed.record.kind === 'tombstone' });
  }

  /**
   * Does nothing with a record that is held already. `received` is its position in another node's log. Throws
   * `session_deleted`; nothing is changed then.
   */
  append(sealed: SealedRecord, usedAtMs: number, received?: LogPosition): void {
    const change = this.#of(sessionKeyOf(sealed.record));
    this.#erasures.refuse(sealed.record);
    refuseLateTurn(change.after, sealed);
    if (!this.#holds(change, sealed)) {
      if (sealed.record.kind === 'tombstone' && change.after?.deleted === false) {
        for (const [keygroup, , , , hash] of change.held ?? [])
          this.log?.noteDeleted(hash as ContextId, keygroup as KeygroupId);
        this.#clear(change);
      }
      change.after = rowWith(change.after, sealed, usedAtMs);
      change.added.set(sealed.hash, sealed);
      this.#added.set(sealed.hash, { sealed, from: received === undefined ? 'here' : 'elsewhere' });
    }
    this.log?.add(sealed, received);
  }

  /** Removes what is erased of a session that is loaded, and leaves what came after the erasure; 1 where something goes. */
  erase({ key, erased, left }: ErasedSession): number {
    const change = this.#of(key);
    if (erased.length === 0 || change.removed !== undefined) return 0;
    for (const [keygroup, , , , hash] of erased) {
      this.log?.noteDeleted(hash as ContextId, keygroup as KeygroupId);
      this.log?.remove(hash as ContextId, keygroup as KeygroupId);
    }
    change.removed = erased;
    const usedAtMs = change.before?.lastUsedAtMs ?? 0;
    change.after = [...left, ...change.added.values()].reduce<SessionChange['after']>(
      (row, sealed) => rowWith(row, sealed, usedAtMs),
      undefined,
    );
    return 1;
  }

  /** Throws `session_not_found` for a turn that continues a session which has been removed. */
  refuseOrphan(sealed: SealedRecord, options: AppendOptions | undefined): void {
    refuseOrphan(this.#of(sessionKeyOf(sealed.record)).after, options);
  }

  markUsed(key: SessionKey, usedAtMs: number): void {
    const change = this.#of(key);
    if (change.after === undefined || change.after.lastUsedAtMs >= usedAtMs) return;
    change.after = { ...change.after, lastUsedAtMs: usedAtMs };
  }

  /** The session must be loaded to be removed; 1 where it was expired. */
  expireOne(key: SessionKey, nowMs: number): number {
    const change = this.#of(key);
    if (change.after === undefined || !isExpired(change.after, nowMs)) return 0;
    this.remove(change);
    return 1;
  }

  /** Loads sessions that are expired at `nowMs`, the longest expired first, as many as {@link expire} may remove. */
  async loadExpired(nowMs: number): Promise<readonly Indexed[]> {
    const expired: Indexed[] = [];
    let records = 0;
    for await (const [atMs, ...rest] of this.#tables.byExpiry.keys({ before: [nowMs + 1] })) {
      if (expired.length >= SESSIONS_REMOVED_MAX || records >= RECORDS_REMOVED_MAX) break;
      const key = sessionKeyFrom(rest);
      records += (await this.loadedToRemove(key)).before?.records ?? 0;
      expired.push({ key, atMs });
    }
    return expired;
  }

  /** Removes those of them that are still expired at `nowMs`; returns how many. */
  expire(expired: readonly Indexed[], nowMs: number): number {
    let removed = 0;
    for (const { key, atMs } of expired) {
      if (this.#of(key).before?.expiresAtMs !== atMs)
        this.dropEntry(() => this.#tables.byExpiry.remove([atMs, ...tableKey(key)]));
      removed += this.expireOne(key, nowMs);
    }
    return removed;
  }

  /** Whether these changes make `totals` grow and exceed `bytesMax`. */
  exceed(totals: StoreTotals, bytesMax: number): boolean {
    const { bytes } = this.totalsAfter(totals);
    return bytes > bytesMax && bytes > totals.bytes;
  }

  /** Counts them to what users had before. */
  countTo(users: UserBytes): void {
    for (const { key, before, after } of this.#changes.values()) users.count(key, before, after);
  }

  /** Every session that is loaded. */
  get loaded(): Iterable<SessionChange> {
    return this.#changes.values();
  }

  async loadedToRemove(key: SessionKey): Promise<SessionChange> {
    await this.load(key, { toRemove: true });
    return this.#of(key);
  }

  /** An entry of an index that is not its session's any more. */
  dropEntry(remove: () => void): void {
    this.#staleIndexEntries.push(remove);
  }

  /** The session, loaded to be removed, and all its records go. */
  remove(change: SessionChange): void {
    this.#clear(change);
    change.after = undefined;
  }

  totalsAfter(totals: StoreTotals): StoreTotals {
    let { sessions, records, bytes } = totals;
    for (const { before, after } of this.#changes.values()) {
      sessions += live(after) - live(before);
      records += (after?.records ?? 0) - (before?.records ?? 0);
      bytes += (after?.bytes ?? 0) - (before?.bytes ?? 0);
    }
    return { sessions, records, bytes };
  }

  /** `rewrite` puts rows that are there in another form, ahead of all else: what else changes of them holds. */
  rewrite(rewrite: (tables: Tables) => void): void {
    this.#rewrites.push(rewrite);
  }

  /** What is put, in the order in which it was taken in. */
  get added(): Iterable<AddedRecord> {
    return this.#added.values();
  }

  /** Sessions that were there and whose records go, whether or not others are put in their place. */
  get removed(): SessionKey[] {
    return [...this.#changes.values()]
      .filter(({ before, removed }) => before !== undefined && removed !== undefined)
      .map(({ key }) => key);
  }

  /** Puts and removes; to be called while the tables are written. */
  write(): void {
    for (const rewrite of this.#rewrites) rewrite(this.#tables);
    for (const removeEntry of this.#staleIndexEntries) removeEntry();
    for (const change of this.#changes.values()) {
      if (changed(change)) writeSession(this.#tables, change);
    }
    this.log?.write();
  }

  #of(key: SessionKey): SessionChange {
    const change = this.#changes.get(sessionKeyText(key));
    if (change === undefined) throw new TypeError('a session must be loaded before it is changed');
    return change;
  }

  #holds(change: SessionChange, sealed: SealedRecord): boolean {
    if (change.added.has(sealed.hash)) return true;
    if (change.removed?.some(([, , , , hash]) => hash === sealed.hash)) return false;
    return this.#tables.records.get(recordKey(sealed)) !== undefined;
  }

  #clear(change: SessionChange): void {
    if (change.held === undefined) throw new TypeError('a session must be loaded to be removed before it is');
    change.removed = change.held;
    if (this.log !== undefined) {
      for (const [keygroup, , , , hash] of change.removed) this.log.remove(hash as ContextId, keygroup as KeygroupId);
      for (const hash of change.added.keys()) this.log.remove(hash, change.key.keygroup);
    }
    for (const hash of change.added.keys()) this.#added.delete(hash);
    change.added.clear();
  }
}
