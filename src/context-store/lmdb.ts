import { compareUtf8 } from '../domain/bytes.ts';
import type { Incarnation, NodeId, SessionKey } from '../domain/identifiers.ts';
import type { SealedRecord } from '../domain/record/record-codec.ts';
import { NewerRecord } from '../domain/record/record-version.ts';
import type { Environment } from '../environment/environment.ts';
import type {
  AppendOptions,
  ContextStore,
  RecordListener,
  RemovalListener,
  SessionPage,
  SessionQuery,
  SessionSummary,
  SharedContexts,
  StoredSession,
  StoreStatus,
} from './context-store.ts';
import type { ConversationIndex } from './conversation-index.ts';
import { findConversations } from './lmdb/conversation-table.ts';
import { takeDataFolder } from './lmdb/data-folder.ts';
import { DiskReserve } from './lmdb/disk-reserve.ts';
import { LmdbEnvironment } from './lmdb/lmdb-environment.ts';
import { settleIdentity } from './lmdb/store-identity.ts';
import { readRecords, readRow, sessionKeyFrom, TOMBSTONE_TURN, tableKey } from './lmdb/tables.ts';
import { summaryOf } from './session-row.ts';
import { LIST_LIMIT_MAX, LIST_ROWS_MAX } from './store-limits.ts';

export interface LmdbStoreOptions {
  /** Created if missing; held by this process until `close`. */
  readonly folder: string;
  /** A folder belongs to the node that made it. */
  readonly nodeId: NodeId;
  /** Sealed record bytes above which least recently used sessions are evicted; the file takes about twice as much. */
  readonly bytesMax: number;
}

export type LmdbStore = ContextStore & {
  readonly incarnation: Incarnation;
  readonly conversations: ConversationIndex;
};

/**
 * The context store of a single node, without a server (DESIGN §7). An append is one transaction over records, session
 * and indexes, and is fsynced when it resolves. Throws `data_dir_in_use` and `data_dir_unusable`.
 */
export async function openLmdbStore(options: LmdbStoreOptions, environment: Environment): Promise<LmdbStore> {
  return new LmdbContextStore(await openLmdbEnvironment(options, environment), environment);
}

/** Takes the data folder for this process and opens what is in it. Throws as {@link openLmdbStore} does. */
export async function openLmdbEnvironment(
  options: LmdbStoreOptions,
  environment: Environment,
): Promise<LmdbEnvironment> {
  const folder = await takeDataFolder(options.folder);
  try {
    const { tables, incarnation } = await settleIdentity(folder, options, environment);
    const disk = new DiskReserve(folder.storePath, environment);
    await disk.look();
    return new LmdbEnvironment({ ...options, folder, disk, tables, incarnation }, environment);
  } catch (error) {
    await folder.release();
    throw error;
  }
}

export class LmdbContextStore implements ContextStore {
  readonly sharing: SharedContexts | undefined = undefined;
  readonly conversations: ConversationIndex;
  readonly #lmdb: LmdbEnvironment;
  readonly #environment: Environment;
  #corruptRecords = 0;

  constructor(lmdb: LmdbEnvironment, environment: Environment) {
    this.#lmdb = lmdb;
    this.#environment = environment;
    this.conversations = { find: async (wanted) => lmdb.read((tables) => findConversations(tables, wanted)) };
  }

  get nodeId(): NodeId {
    return this.#lmdb.nodeId;
  }

  get incarnation(): Incarnation {
    return this.#lmdb.incarnation;
  }

  async append(sealed: SealedRecord, options?: AppendOptions): Promise<void> {
    if (sealed.record.kind === 'turn') this.#lmdb.requireRoom();
    await this.#lmdb.write((changes) => {
      changes.refuseOrphan(sealed, options);
      changes.append(sealed, this.#environment.clock.now());
    });
  }

  async read(key: SessionKey): Promise<StoredSession | undefined> {
    return this.#lmdb.read((tables) => {
      const row = readRow(tables, key);
      if (row === undefined) return undefined;
      this.#lmdb.noteUse(key, row);
      if (row.deleted) return { deleted: true, records: [], corrupt: 0 };
      let corrupt = 0;
      const records = readRecords(tables, key, {
        firstTurn: TOMBSTONE_TURN + 1,
        onUnreadable: (error, turn) => {
          // Without it the session would look shorter than it is.
          if (error instanceof NewerRecord) throw error;
          corrupt++;
          this.#corruptRecords++;
          this.#environment.logger.warn('corrupt_record', { turn, reason: error.message });
        },
      });
      // Records whose pages are gone leave no trace but their number in the row.
      const lost = Math.max(0, row.records - records.length - corrupt);
      if (lost > 0) {
        this.#corruptRecords += lost;
        this.#environment.logger.warn('lost_records', { records: lost });
      }
      return { deleted: false, records, keptUntilMs: row.expiresAtMs, corrupt: corrupt + lost };
    });
  }

  async list(query: SessionQuery): Promise<SessionPage> {
    return this.#lmdb.read((tables) => {
      const sessions: SessionSummary[] = [];
      const limit = Math.min(query.limit, LIST_LIMIT_MAX);
      let [looked, last]: [number, SessionKey | undefined] = [0, undefined];
      for (const entry of tables.sessions.getKeys(startOf(query))) {
        const key = sessionKeyFrom(entry);
        if (key.keygroup !== query.keygroup || (query.userId !== undefined && key.userId !== query.userId)) break;
        if (sessions.length === limit || looked === LIST_ROWS_MAX) return { sessions, next: last };
        const row = readRow(tables, key);
        const summary = row && summaryOf(key, row, query.nowMs);
        if (summary !== undefined) sessions.push(summary);
        [looked, last] = [looked + 1, key];
      }
      return { sessions, next: undefined };
    });
  }

  async expire(nowMs: number, only?: SessionKey): Promise<number> {
    let removed = 0;
    await this.#lmdb.write((changes) => {
      removed = only === undefined ? changes.expire(nowMs) : changes.expireOne(only, nowMs);
    });
    return removed;
  }

  async status(): Promise<StoreStatus> {
    const { totals, evictedSessions } = this.#lmdb;
    return this.#lmdb.read(() => ({ ...totals, corruptRecords: this.#corruptRecords, evictedSessions }));
  }

  onRecord(listener: RecordListener): () => void {
    return this.#lmdb.listeners.onRecord(listener);
  }

  onRemoved(listener: RemovalListener): () => void {
    return this.#lmdb.listeners.onRemoved(listener);
  }

  close(): Promise<void> {
    return this.#lmdb.close();
  }
}

/** Where a page begins: after `after`, but not before the user asked for. */
function startOf({ keygroup, userId, after }: SessionQuery) {
  if (after !== undefined && (userId === undefined || compareUtf8(after.userId, userId) >= 0))
    return { start: tableKey(after), exclusiveStart: true };
  return { start: userId === undefined ? [keygroup] : [keygroup, userId] };
}
