import { DiscedgeError } from '../domain/errors.ts';
import { type Incarnation, type NodeId, type SessionKey, sessionKeyText } from '../domain/identifiers.ts';
import type { SealedRecord } from '../domain/record-codec.ts';
import type { Environment } from '../environment/environment.ts';
import type { ContextStore, SessionQuery, SessionSummary, StoredSession, StoreStatus } from './context-store.ts';
import { type DataFolder, takeDataFolder } from './lmdb/data-folder.ts';
import { DiskReserve } from './lmdb/disk-reserve.ts';
import { GroupCommit } from './lmdb/group-commit.ts';
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

/**
 * The context store of a single node, without a server (DESIGN §7). An append is one transaction over records, session
 * and indexes, and is fsynced when it resolves. Throws `data_dir_in_use` and `data_dir_unusable`.
 */
export async function openLmdbStore(options: LmdbStoreOptions, environment: Environment): Promise<LmdbStore> {
  const folder = await takeDataFolder(options.folder);
  try {
    const { tables, incarnation } = await settleIdentity(folder, options, environment);
    const disk = new DiskReserve(folder.storePath, environment);
    await disk.look();
    return new LocalReplica({ folder, disk, tables, incarnation, bytesMax: options.bytesMax }, environment);
  } catch (error) {
    await folder.release();
    throw error;
  }
}

class LocalReplica implements ContextStore {
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
  #closing: Promise<void> | undefined;

  constructor(
    parts: { folder: DataFolder; disk: DiskReserve; tables: Tables; incarnation: Incarnation; bytesMax: number },
    environment: Environment,
  ) {
    this.incarnation = parts.incarnation;
    this.#folder = parts.folder;
    this.#disk = parts.disk;
    this.#tables = parts.tables;
    this.#bytesMax = parts.bytesMax;
    this.#environment = environment;
    this.#totals = readTotals(parts.tables);
    this.#commits = new GroupCommit(
      { begin: () => this.#begin(), commit: (changes) => this.#commit(changes) },
      environment,
    );
  }

  async append(sealed: SealedRecord): Promise<void> {
    this.#assertOpen();
    if (sealed.record.kind === 'turn') this.#disk.requireRoom();
    await this.#write((changes) => changes.append(sealed, this.#environment.clock.now()));
  }

  async read(key: SessionKey): Promise<StoredSession | undefined> {
    this.#assertOpen();
    return this.#reading((tables) => {
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
    return this.#reading((tables) => {
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

  async #reading<T>(read: (tables: Tables) => T): Promise<T> {
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
    const changes = new SessionChanges(this.#tables);
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

/** Where a page begins: after `after`, but not before the user asked for. */
function startOf({ keygroup, userId, after }: SessionQuery) {
  if (after !== undefined && (userId === undefined || compareUtf8(after.userId, userId) >= 0))
    return { start: tableKey(after), exclusiveStart: true };
  return { start: userId === undefined ? [keygroup] : [keygroup, userId] };
}
