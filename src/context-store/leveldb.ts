import { compareUtf8 } from '../domain/bytes.ts';
import type { KeyRing } from '../domain/encryption/key-ring.ts';
import type { Incarnation, NodeId, SessionKey, UserId } from '../domain/identifiers.ts';
import type { SealedRecord } from '../domain/record/record-codec.ts';
import { NewerRecord } from '../domain/record/record-version.ts';
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
  SharedContexts,
  StoredSession,
  StoreStatus,
} from './context-store.ts';
import type { ConversationIndex } from './conversation-index.ts';
import { takeDataFolder } from './leveldb/data-folder/data-folder.ts';
import { openDatabase } from './leveldb/data-folder/open-database.ts';
import { eraseFiles, pageOfUser } from './leveldb/erased-sessions.ts';
import { LevelEnvironment } from './leveldb/leveldb-environment.ts';
import { DiskReserve } from './leveldb/room/disk-reserve.ts';
import type { Resealing } from './leveldb/sealing/resealing.ts';
import type { SessionChanges } from './leveldb/session-changes.ts';
import { findConversations } from './leveldb/tables/conversation-table.ts';
import type { KeyRange } from './leveldb/tables/level-database.ts';
import { decodeRow } from './leveldb/tables/row-codec.ts';
import {
  readReadable,
  readRecords,
  readRow,
  sessionKeyFrom,
  TOMBSTONE_TURN,
  tableKey,
} from './leveldb/tables/tables.ts';
import { isThere, type SessionRow, summaryOf } from './session-row.ts';
import { LIST_LIMIT_MAX, LIST_ROWS_MAX } from './store-limits.ts';

export interface LevelStoreOptions {
  /** Created if missing; held by this process until `close`. */
  readonly folder: string;
  /** A folder belongs to the node that made it. */
  readonly nodeId: NodeId;
  /** Sealed record bytes above which least recently used sessions are evicted; the files take about half as much again. */
  readonly bytesMax: number;
  /** `evict` by default. */
  readonly whenFull?: WhenFull | undefined;
  /** What rows that hold contents are sealed with; `undefined`: with nothing. */
  readonly encryption?: KeyRing | undefined;
}

export type LevelStore = ContextStore & {
  readonly incarnation: Incarnation;
  readonly conversations: ConversationIndex;
  /** `undefined` where every row is in the form that is written. */
  readonly resealing: Pick<Resealing, 'recordsLeft' | 'done'> | undefined;
};

/**
 * The context store of a single node, without a server (DESIGN §7). An append is one batch over records, session
 * and indexes, and is synced when it resolves. Throws `data_dir_in_use`, `data_dir_unusable` and `encryption_key_missing`.
 */
export async function openLevelStore(options: LevelStoreOptions, environment: Environment): Promise<LevelStore> {
  return new LevelContextStore(await openLevelEnvironment(options, environment), environment);
}

/** Takes the data folder for this process and opens what is in it. Throws as {@link openLevelStore} does. */
export async function openLevelEnvironment(
  options: LevelStoreOptions,
  environment: Environment,
): Promise<LevelEnvironment> {
  const folder = await takeDataFolder(options.folder);
  try {
    const disk = new DiskReserve(folder.path, environment);
    const opened = await openDatabase(folder, { ...options, disk }, environment);
    await disk.look();
    return await LevelEnvironment.on({ ...options, ...opened, folder, disk }, environment);
  } catch (error) {
    await folder.release();
    throw error;
  }
}

export class LevelContextStore implements ContextStore {
  readonly sharing: SharedContexts | undefined = undefined;
  readonly conversations: ConversationIndex;
  readonly #level: LevelEnvironment;
  readonly #environment: Environment;
  #corruptRecords = 0;

  constructor(level: LevelEnvironment, environment: Environment) {
    this.#level = level;
    this.#environment = environment;
    this.conversations = { find: (wanted) => level.read((tables) => findConversations(tables, wanted)) };
  }

  get nodeId(): NodeId {
    return this.#level.nodeId;
  }

  get incarnation(): Incarnation {
    return this.#level.incarnation;
  }

  get resealing(): Resealing | undefined {
    return this.#level.resealing;
  }

  async append(sealed: SealedRecord, options?: AppendOptions): Promise<void> {
    this.#level.requireRoomFor([sealed]);
    await this.#level.write({
      load: (changes) => changes.loadFor(sealed),
      decide: (changes) => {
        changes.refuseOrphan(sealed, options);
        changes.append(sealed, this.#environment.clock.now());
      },
    });
  }

  async read(key: SessionKey): Promise<StoredSession | undefined> {
    return this.#level.read((tables) =>
      tables.atOnce(async (now) => {
        const row = await readRow(tables, key, now);
        if (row === undefined) return undefined;
        this.#level.noteUse(key, row);
        if (row.deleted) return { deleted: true, records: await readReadable(tables, key, now), corrupt: 0 };
        let corrupt = 0;
        const records = await readRecords(tables, key, {
          firstTurn: TOMBSTONE_TURN + 1,
          at: now,
          onUnreadable: (error, turn) => {
            // Without it the session would look shorter than it is.
            if (error instanceof NewerRecord) throw error;
            corrupt++;
            this.#environment.logger.warn('corrupt_record', { turn, reason: error.message });
          },
        });
        // Records that are lost leave no trace but their number in the row.
        const lost = Math.max(0, row.records - records.length - corrupt);
        if (lost > 0) this.#environment.logger.warn('lost_records', { records: lost });
        this.#corruptRecords += corrupt + lost;
        return { deleted: false, records, keptUntilMs: row.expiresAtMs, corrupt: corrupt + lost };
      }),
    );
  }

  async list(query: SessionQuery): Promise<SessionPage> {
    const { shown: sessions, next } = await this.#page(query, (key, row) => summaryOf(key, row, query.nowMs));
    return { sessions, next };
  }

  async keys(query: SessionQuery): Promise<KeyPage> {
    const { shown: keys, next } = await this.#page(query, (key, row) => (isThere(row, query.nowMs) ? key : undefined));
    return { keys, next };
  }

  #page<T>(query: SessionQuery, show: (key: SessionKey, row: SessionRow) => T | undefined) {
    return this.#level.read(async (tables): Promise<{ shown: T[]; next: SessionKey | undefined }> => {
      const shown: T[] = [];
      const limit = Math.min(query.limit, LIST_LIMIT_MAX);
      let [looked, last]: [number, SessionKey | undefined] = [0, undefined];
      for await (const { key: inTable, value } of tables.sessions.entries(rangeOf(query))) {
        const key = sessionKeyFrom(inTable);
        if (shown.length === limit || looked === LIST_ROWS_MAX) return { shown, next: last };
        const row = decodeRow(value) ?? (await readRow(tables, key));
        const one = row && show(key, row);
        if (one !== undefined) shown.push(one);
        [looked, last] = [looked + 1, key];
      }
      return { shown, next: undefined };
    });
  }

  async expire(nowMs: number, only?: SessionKey): Promise<number> {
    let removed = 0;
    let expired: Awaited<ReturnType<SessionChanges['loadExpired']>> = [];
    await this.#level.write(
      only === undefined
        ? {
            load: async (changes) => {
              expired = await changes.loadExpired(nowMs);
            },
            decide: (changes) => {
              removed = changes.expire(expired, nowMs);
            },
          }
        : {
            load: (changes) => changes.load(only, { toRemove: true }),
            decide: (changes) => {
              removed = changes.expireOne(only, nowMs);
            },
          },
    );
    return removed;
  }

  get erasures(): ContextStore['erasures'] {
    return this.#level.erasures;
  }

  async erase(userId: UserId, after?: SessionKey): Promise<ErasedPage> {
    let sessions = 0;
    let page: Awaited<ReturnType<typeof pageOfUser>> = { sessions: [], next: undefined };
    await this.#level.write({
      load: async (changes) => {
        const isErased = (record: SealedRecord['record']) => this.#level.erasures.erases(record);
        page = await this.#level.read((tables) => pageOfUser(tables, { userId, after, isErased }));
        for (const { key } of page.sessions) await changes.load(key);
      },
      decide: (changes) => {
        for (const session of page.sessions) sessions += changes.erase(session);
      },
    });
    return { sessions, next: page.next };
  }

  wipeErased(userId: UserId): Promise<void> {
    return this.#level.read((tables) => eraseFiles(tables, userId));
  }

  async status(): Promise<StoreStatus> {
    const { totals, room } = this.#level;
    return this.#level.look(() => ({ ...totals, corruptRecords: this.#corruptRecords, ...room.evicted }));
  }

  onRecord(listener: RecordListener): () => void {
    return this.#level.listeners.onRecord(listener);
  }

  onRemoved(listener: RemovalListener): () => void {
    return this.#level.listeners.onRemoved(listener);
  }

  close(): Promise<void> {
    return this.#level.close();
  }
}

/** After `after`, but not before the user asked for. */
function rangeOf({ keygroup, userId, after }: SessionQuery): KeyRange {
  const within = userId === undefined ? [keygroup] : [keygroup, userId];
  const isAhead = after !== undefined && (userId === undefined || compareUtf8(after.userId, userId) >= 0);
  return { within, after: isAhead ? tableKey(after) : undefined };
}
