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
import { isExpired, refuseLateTurn, refuseOrphan, rowWith, type SessionRow } from '../session-row.ts';
import { EVICTION_TARGET, RECORDS_REMOVED_MAX, SESSIONS_REMOVED_MAX } from '../store-limits.ts';
import { putConversations, removeConversations } from './conversation-table.ts';
import type { LogChanges, LogPosition } from './origin-log.ts';
import { encodeRow } from './row-codec.ts';
import {
  NOTHING,
  type RecordKey,
  readRow,
  recordKey,
  recordKeys,
  sessionKeyFrom,
  type Tables,
  tableKey,
} from './tables.ts';

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

interface SessionChange {
  readonly key: SessionKey;
  readonly before: SessionRow | undefined;
  after: SessionRow | undefined;
  /** Records put by this group. */
  added: Map<ContextId, SealedRecord>;
  /** Set when the whole session is removed: its keys in the table. */
  removed: readonly RecordKey[] | undefined;
}

/**
 * What one group of work will change, decided against the tables before anything is written: every table entry follows
 * from a session's row before and after. With a log, its entries come and go with the records.
 */
export class SessionChanges {
  /** `undefined` where the store does not replicate. */
  readonly log: LogChanges | undefined;
  readonly #tables: Tables;
  readonly #changes = new Map<SessionKeyText, SessionChange>();
  readonly #added = new Map<ContextId, AddedRecord>();
  readonly #staleIndexEntries: (() => void)[] = [];

  constructor(tables: Tables, log?: LogChanges) {
    this.#tables = tables;
    this.log = log;
  }

  get isEmpty(): boolean {
    if (this.#staleIndexEntries.length > 0 || this.log?.isEmpty === false) return false;
    return [...this.#changes.values()].every((change) => !changed(change));
  }

  /**
   * Does nothing with a record that is held already. `received` is its position in another node's log. Throws
   * `session_deleted`; nothing is changed then.
   */
  append(sealed: SealedRecord, usedAtMs: number, received?: LogPosition): void {
    const change = this.#of(sessionKeyOf(sealed.record));
    refuseLateTurn(change.after, sealed);
    if (!this.#holds(change, sealed)) {
      if (sealed.record.kind === 'tombstone' && change.after?.deleted === false) this.#clear(change);
      change.after = rowWith(change.after, sealed, usedAtMs);
      change.added.set(sealed.hash, sealed);
      this.#added.set(sealed.hash, { sealed, from: received === undefined ? 'here' : 'elsewhere' });
    }
    this.log?.add(sealed, received);
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

  /** The same with one session; 1 where it was. */
  expireOne(key: SessionKey, nowMs: number): number {
    const change = this.#of(key);
    if (change.after === undefined || !isExpired(change.after, nowMs)) return 0;
    this.#remove(change);
    return 1;
  }

  /** Removes sessions that are expired at `nowMs`, the longest expired first; returns how many. */
  expire(nowMs: number): number {
    let removed = 0;
    let records = 0;
    for (const entry of this.#tables.byExpiry.getKeys({ end: [nowMs + 1] })) {
      if (removed >= SESSIONS_REMOVED_MAX || records >= RECORDS_REMOVED_MAX) break;
      const [atMs, ...rest] = entry;
      const change = this.#of(sessionKeyFrom(rest));
      if (change.before?.expiresAtMs !== atMs) this.#staleIndexEntries.push(() => this.#tables.byExpiry.remove(entry));
      if (change.after === undefined || !isExpired(change.after, nowMs)) continue;
      records += change.after.records;
      removed++;
      this.#remove(change);
    }
    return removed;
  }

  /**
   * Where these changes make `totals` grow and exceed `bytesMax`: removes the least recently used sessions to which this
   * group adds nothing, until they are well below it. Returns how many.
   */
  evict(totals: StoreTotals, bytesMax: number): number {
    let { bytes } = this.totalsAfter(totals);
    if (bytes <= bytesMax || bytes <= totals.bytes) return 0;
    let removed = 0;
    let records = 0;
    for (const change of this.#leastRecentlyUsed()) {
      if (bytes <= bytesMax * EVICTION_TARGET) break;
      if (removed >= SESSIONS_REMOVED_MAX || records >= RECORDS_REMOVED_MAX) break;
      if (change.after === undefined || change.after.deleted || change.added.size > 0) continue;
      bytes -= change.after.bytes;
      records += change.after.records;
      removed++;
      this.#remove(change);
    }
    return removed;
  }

  /** Sessions of the index by use; last those whose use this group notes, which is later than any in the index. */
  *#leastRecentlyUsed(): Iterable<SessionChange> {
    const usedNow = [...this.#changes.values()].filter(({ before, after }) => usedAt(before) !== usedAt(after));
    const isUsedNow = new Set(usedNow);
    for (const entry of this.#tables.byUse.getKeys()) {
      const [atMs, ...rest] = entry;
      const change = this.#of(sessionKeyFrom(rest));
      if (change.before?.lastUsedAtMs !== atMs) this.#staleIndexEntries.push(() => this.#tables.byUse.remove(entry));
      else if (!isUsedNow.has(change)) yield change;
    }
    yield* usedNow.sort((a, b) => (usedAt(a.after) ?? 0) - (usedAt(b.after) ?? 0));
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

  /** Puts and removes; to be called inside one transaction. */
  write(): void {
    for (const removeEntry of this.#staleIndexEntries) removeEntry();
    for (const change of this.#changes.values()) {
      if (changed(change)) this.#writeSession(change);
    }
    this.log?.write();
  }

  #writeSession({ key, before, after, added, removed }: SessionChange): void {
    const { records, sessions, byExpiry, byUse } = this.#tables;
    const inTable = tableKey(key);
    for (const record of removed ?? []) {
      records.remove(record);
      removeConversations(this.#tables, record);
    }
    for (const sealed of added.values()) {
      const inRecords = recordKey(sealed);
      records.put(inRecords, sealed.bytes);
      putConversations(this.#tables, sealed, inRecords);
    }
    if (after === undefined) sessions.remove(inTable);
    else sessions.put(inTable, encodeRow(after));

    if (before?.expiresAtMs !== after?.expiresAtMs) {
      if (before !== undefined) byExpiry.remove([before.expiresAtMs, ...inTable]);
      if (after !== undefined) byExpiry.put([after.expiresAtMs, ...inTable], NOTHING);
    }
    const usedBefore = usedAt(before);
    const usedAfter = usedAt(after);
    if (usedBefore !== usedAfter) {
      if (usedBefore !== undefined) byUse.remove([usedBefore, ...inTable]);
      if (usedAfter !== undefined) byUse.put([usedAfter, ...inTable], NOTHING);
    }
  }

  #of(key: SessionKey): SessionChange {
    const keyText = sessionKeyText(key);
    const known = this.#changes.get(keyText);
    if (known !== undefined) return known;
    const before = readRow(this.#tables, key);
    const change: SessionChange = { key, before, after: before, added: new Map(), removed: undefined };
    this.#changes.set(keyText, change);
    return change;
  }

  #holds(change: SessionChange, sealed: SealedRecord): boolean {
    if (change.added.has(sealed.hash)) return true;
    return change.removed === undefined && this.#tables.records.doesExist(recordKey(sealed));
  }

  #remove(change: SessionChange): void {
    this.#clear(change);
    change.after = undefined;
  }

  #clear(change: SessionChange): void {
    change.removed ??= [...recordKeys(this.#tables, change.key)];
    if (this.log !== undefined) {
      for (const [keygroup, , , , hash] of change.removed) this.log.remove(hash as ContextId, keygroup as KeygroupId);
      for (const hash of change.added.keys()) this.log.remove(hash, change.key.keygroup);
    }
    for (const hash of change.added.keys()) this.#added.delete(hash);
    change.added.clear();
  }
}

function changed({ before, after }: SessionChange): boolean {
  return before !== after;
}

function live(row: SessionRow | undefined): number {
  return row === undefined || row.deleted ? 0 : 1;
}

/** The time in the index by use. A tombstone is not in it: evicted, it could not keep the session deleted. */
function usedAt(row: SessionRow | undefined): number | undefined {
  return row === undefined || row.deleted ? undefined : row.lastUsedAtMs;
}
