import { DiscedgeError } from '../domain/errors.ts';
import {
  type ContextId,
  type Incarnation,
  type KeygroupId,
  type NodeId,
  type SessionKey,
  sessionKeyText,
} from '../domain/identifiers.ts';
import type { SealedRecord } from '../domain/record-codec.ts';
import type { Environment } from '../environment/environment.ts';
import type {
  AppendOptions,
  ContextStore,
  SessionQuery,
  SessionSummary,
  StoredSession,
  StoreStatus,
} from './context-store.ts';
import { type DataFolder, takeDataFolder } from './lmdb/data-folder.ts';
import { DiskReserve } from './lmdb/disk-reserve.ts';
import { GroupCommit } from './lmdb/group-commit.ts';
import {
  LogChanges,
  type LogCursor,
  type LogEntry,
  type LogPosition,
  type LogState,
  type OriginLog,
  readCursor,
  readLog,
  readLogStates,
  readPosition,
} from './lmdb/origin-log.ts';
import { SessionChanges, type StoreTotals } from './lmdb/session-changes.ts';
import { readTotals, settleIdentity, writeTotals } from './lmdb/store-identity.ts';
import {
  openTables,
  readRecords,
  readRow,
  sessionKeyFrom,
  type Tables,
  TOMBSTONE_TURN,
  tableKey,
} from './lmdb/tables.ts';
import { compareUtf8, type SessionRow, summaryOf } from './session-row.ts';
import { LIST_LIMIT_MAX, USE_NOTED_EVERY_MS } from './store-limits.ts';

/** Uses not yet written down. They go along with the next commit; with this many there is a commit for them. */
const USES_WAITING_MAX = 1_000;

export interface LmdbStoreOptions {
  /** Created if missing; held by this process until `close`. */
  readonly folder: string;
  /** A folder belongs to the node that made it. */
  readonly nodeId: NodeId;
  /** Sealed record bytes above which least recently used sessions are evicted; the file takes about twice as much. */
  readonly bytesMax: number;
}

export type LmdbStore = ContextStore & { readonly incarnation: Incarnation };

/** The store as one of several replicas: it also keeps who wrote which record in which order. */
export interface ReplicaStore extends LmdbStore {
  readonly nodeId: NodeId;
  /** How far a log is settled here; of an own log, the last sequence given out. */
  cursor(log: OriginLog): LogCursor;
  /** Every log of which something is known here. */
  logs(): LogState[];
  readLog(log: OriginLog, page: { readonly after: number; readonly limit: number }): LogEntry[];
  /** A record's bytes, unchecked; `undefined` when it is gone. */
  recordBytes(entry: LogEntry): Uint8Array | undefined;
  positionOf(hash: ContextId, keygroup: KeygroupId): LogPosition | undefined;
  /**
   * Takes in records from another node and moves the log's cursor, in one transaction; late turns of deleted sessions are
   * left out. Returns the records that are new here, durable by then; `undefined`, and does nothing, when the cursor is not
   * at `from`.
   */
  receive(batch: ReceivedBatch): Promise<SealedRecord[] | undefined>;
  /** A small text kept with the store under a name. */
  note(name: string, text: string): Promise<void>;
  noted(name: string): string | undefined;
}

export interface ReceivedBatch {
  readonly log: OriginLog;
  readonly records: readonly { readonly sequence: number; readonly sealed: SealedRecord }[];
  readonly from: LogCursor;
  readonly to: LogCursor;
}

/** Set in a store that has a log: whoever opens it goes on with that, or the log would have holes. */
const LOGGED = 'logged';

/**
 * The context store of a single node, without a server (DESIGN §7). An append is one transaction over records, session
 * and indexes, and is fsynced when it resolves. Throws `data_dir_in_use` and `data_dir_unusable`.
 */
export function openLmdbStore(options: LmdbStoreOptions, environment: Environment): Promise<LmdbStore> {
  return open(options, environment);
}

/** As {@link openLmdbStore}, with a log; records that were written without one are logged first. */
export async function openReplica(options: LmdbStoreOptions, environment: Environment): Promise<ReplicaStore> {
  const replica = await open(options, environment);
  try {
    await replica.keepLog();
    return replica;
  } catch (error) {
    await replica.close();
    throw error;
  }
}

async function open(options: LmdbStoreOptions, environment: Environment): Promise<LocalReplica> {
  const folder = await takeDataFolder(options.folder);
  try {
    const { tables, incarnation } = await settleIdentity(folder, options, environment);
    const disk = new DiskReserve(folder.storePath, environment);
    await disk.look();
    return new LocalReplica({ ...options, folder, disk, tables, incarnation }, environment);
  } catch (error) {
    await folder.release();
    throw error;
  }
}

class LocalReplica implements ReplicaStore {
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
  readonly #folder: DataFolder;
  readonly #disk: DiskReserve;
  readonly #bytesMax: number;
  readonly #environment: Environment;
  readonly #commits: GroupCommit<SessionChanges>;
  readonly #usesWaiting = new Map<string, { readonly key: SessionKey; readonly usedAtMs: number }>();
  /** `undefined` while a failed environment is opened again; the next write tries, where that failed too. */
  #tables: Tables | undefined;
  #totals: StoreTotals;
  #corruptRecords = 0;
  #evictedSessions = 0;
  #isLogged: boolean;
  #closing: Promise<void> | undefined;

  constructor(
    parts: {
      nodeId: NodeId;
      incarnation: Incarnation;
      folder: DataFolder;
      disk: DiskReserve;
      tables: Tables;
      bytesMax: number;
    },
    environment: Environment,
  ) {
    this.nodeId = parts.nodeId;
    this.incarnation = parts.incarnation;
    this.#folder = parts.folder;
    this.#disk = parts.disk;
    this.#tables = parts.tables;
    this.#bytesMax = parts.bytesMax;
    this.#environment = environment;
    this.#totals = readTotals(parts.tables);
    this.#isLogged = parts.tables.meta.doesExist(LOGGED);
    this.#commits = new GroupCommit(
      { begin: () => this.#begin(), commit: (changes) => this.#commit(changes) },
      environment,
    );
  }

  async append(sealed: SealedRecord, options?: AppendOptions): Promise<void> {
    this.#assertOpen();
    if (sealed.record.kind === 'turn') this.#disk.requireRoom();
    await this.#write((changes) => {
      changes.refuseOrphan(sealed, options);
      changes.append(sealed, this.#environment.clock.now());
    });
  }

  async read(key: SessionKey): Promise<StoredSession | undefined> {
    this.#assertOpen();
    return this.#looking((tables) => {
      const row = readRow(tables, key);
      if (row === undefined) return undefined;
      this.#noteUse(key, row);
      if (row.deleted) return { deleted: true, records: [], corrupt: 0 };
      let corrupt = 0;
      const records = readRecords(tables, key, {
        firstTurn: TOMBSTONE_TURN + 1,
        onCorrupt: (error, turn) => {
          corrupt++;
          this.#corruptRecords++;
          this.#environment.log.warn('corrupt_record', { turn, reason: error.message });
        },
      });
      // Records whose pages are gone leave no trace but their number in the row.
      const lost = Math.max(0, row.records - records.length - corrupt);
      if (lost > 0) {
        this.#corruptRecords += lost;
        this.#environment.log.warn('lost_records', { records: lost });
      }
      return { deleted: false, records, corrupt: corrupt + lost };
    });
  }

  async list(query: SessionQuery): Promise<SessionSummary[]> {
    this.#assertOpen();
    return this.#looking((tables) => {
      const page: SessionSummary[] = [];
      const limit = Math.min(query.limit, LIST_LIMIT_MAX);
      for (const [keygroup, userId, sessionId] of tables.sessions.getKeys(startOf(query))) {
        if (page.length >= limit || keygroup !== query.keygroup) break;
        if (query.userId !== undefined && userId !== query.userId) break;
        const key = sessionKeyFrom([keygroup, userId, sessionId]);
        const row = readRow(tables, key);
        const summary = row && summaryOf(key, row, query.nowMs);
        if (summary !== undefined) page.push(summary);
      }
      return page;
    });
  }

  async expire(nowMs: number): Promise<number> {
    this.#assertOpen();
    let removed = 0;
    await this.#write((changes) => {
      removed = changes.expire(nowMs);
    });
    return removed;
  }

  async status(): Promise<StoreStatus> {
    this.#assertOpen();
    return { ...this.#totals, corruptRecords: this.#corruptRecords, evictedSessions: this.#evictedSessions };
  }

  cursor(log: OriginLog): LogCursor {
    return this.#looking((tables) => readCursor(tables, log));
  }

  logs(): LogState[] {
    return this.#looking(readLogStates);
  }

  readLog(log: OriginLog, page: { readonly after: number; readonly limit: number }): LogEntry[] {
    return this.#looking((tables) => readLog(tables, log, page));
  }

  recordBytes({ recordKey }: LogEntry): Uint8Array | undefined {
    return this.#looking((tables) => tables.records.get(recordKey));
  }

  positionOf(hash: ContextId, keygroup: KeygroupId): LogPosition | undefined {
    return this.#looking((tables) => readPosition(tables, hash, keygroup));
  }

  async receive({ log, records, from, to }: ReceivedBatch): Promise<SealedRecord[] | undefined> {
    this.#assertOpen();
    if (records.some(({ sealed }) => sealed.record.kind === 'turn')) this.#disk.requireRoom();
    let added: SealedRecord[] | undefined;
    await this.#write((changes) => {
      if (changes.log?.cursor(log).sequence !== from.sequence) return;
      const nowMs = this.#environment.clock.now();
      added = records
        .filter(({ sequence, sealed }) => appended(changes, sealed, nowMs, { log, sequence }))
        .map(sealedOf);
      changes.log.settle(log, to);
    });
    return added;
  }

  note(name: string, text: string): Promise<void> {
    this.#assertOpen();
    return this.#write((changes) => changes.log?.note(name, text));
  }

  noted(name: string): string | undefined {
    return this.#looking((tables) => tables.meta.get(name));
  }

  /** From here on every append is logged; what was there before is appended once more, which only logs it. */
  async keepLog(): Promise<void> {
    if (this.#isLogged) return;
    this.#isLogged = true;
    for (const key of this.#looking((tables) => [...tables.sessions.getKeys()].map(sessionKeyFrom))) {
      const records = this.#looking((tables) =>
        readRecords(tables, key, { firstTurn: TOMBSTONE_TURN, onCorrupt() {} }),
      );
      const usedAtMs = 0;
      await this.#write((changes) => {
        for (const sealed of records) appended(changes, sealed, usedAtMs);
      });
    }
    await this.note(LOGGED, 'yes');
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#usesWaiting.size > 0) await this.#write(() => {}).catch(() => {});
    await this.#commits.idle();
    // A write that never ends holds a lock that closing waits for.
    if (!this.#commits.isStuck) await this.#tables?.close();
    this.#tables = undefined;
    await this.#folder.release();
  }

  async #write(work: (changes: SessionChanges) => void): Promise<void> {
    try {
      await this.#commits.run(work);
    } catch (error) {
      throw this.#unavailable('write', error);
    }
  }

  #looking<T>(read: (tables: Tables) => T): T {
    this.#assertOpen();
    if (this.#tables === undefined)
      throw new DiscedgeError('store_unavailable', 'the context store is being opened again after a failed write');
    try {
      return read(this.#tables);
    } catch (error) {
      throw this.#unavailable('read', error);
    }
  }

  #begin(): SessionChanges {
    this.#tables ??= openTables(this.#folder.storePath);
    const changes = new SessionChanges(
      this.#tables,
      this.#isLogged ? new LogChanges(this.#tables, this.#own) : undefined,
    );
    for (const { key, usedAtMs } of this.#usesWaiting.values()) changes.markUsed(key, usedAtMs);
    this.#usesWaiting.clear();
    return changes;
  }

  async #commit(changes: SessionChanges): Promise<void> {
    const tables = this.#tables as Tables;
    const evicted = changes.evict(this.#totals, this.#bytesMax);
    if (changes.isEmpty) return;
    const totals = changes.totalsAfter(this.#totals);
    try {
      await tables.write(() => {
        changes.write();
        writeTotals(tables, totals);
      });
    } catch (error) {
      // After some failures lmdb answers every later write with silence, and only a new environment writes again.
      this.#environment.log.error('store_write_failed', {}, error);
      this.#tables = undefined;
      await tables.close();
      this.#tables = openTables(this.#folder.storePath);
      throw error;
    }
    this.#totals = totals;
    if (evicted === 0) return;
    this.#evictedSessions += evicted;
    this.#environment.log.info('sessions_evicted', { sessions: evicted, bytes: totals.bytes });
  }

  #noteUse(key: SessionKey, row: SessionRow): void {
    const usedAtMs = this.#environment.clock.now();
    const text = sessionKeyText(key);
    const notedAtMs = this.#usesWaiting.get(text)?.usedAtMs ?? row.lastUsedAtMs;
    if (usedAtMs - notedAtMs < USE_NOTED_EVERY_MS) return;
    this.#usesWaiting.set(text, { key, usedAtMs });
    if (this.#usesWaiting.size === USES_WAITING_MAX) this.#write(() => {}).catch(() => {});
  }

  get #own(): { origin: NodeId; incarnation: Incarnation } {
    return { origin: this.nodeId, incarnation: this.incarnation };
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new DiscedgeError('store_unavailable', 'the context store is closed');
  }

  #unavailable(what: 'read' | 'write', error: unknown): DiscedgeError {
    if (error instanceof DiscedgeError) return error;
    const reason = error instanceof Error ? error.message : String(error);
    // lmdb reports a full disk as an I/O error.
    const hint = what === 'write' ? ' (is its disk full?)' : '';
    return new DiscedgeError('store_unavailable', `the context store cannot ${what}: ${reason}${hint}`, {
      cause: error,
    });
  }
}

/** False as well for a turn that came too late for its session. */
function appended(changes: SessionChanges, sealed: SealedRecord, usedAtMs: number, position?: LogPosition): boolean {
  try {
    return changes.append(sealed, usedAtMs, position);
  } catch (error) {
    if (error instanceof DiscedgeError && error.code === 'session_deleted') return false;
    throw error;
  }
}

function sealedOf({ sealed }: { readonly sealed: SealedRecord }): SealedRecord {
  return sealed;
}

/** Where a page begins: after `after`, but not before the user asked for. */
function startOf({ keygroup, userId, after }: SessionQuery) {
  if (after !== undefined && (userId === undefined || compareUtf8(after.userId, userId) >= 0))
    return { start: tableKey(after), exclusiveStart: true };
  return { start: userId === undefined ? [keygroup] : [keygroup, userId] };
}
