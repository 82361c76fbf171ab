import type { ContextId, KeygroupId, NodeId, SessionKey } from '../../domain/identifiers.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import type { Environment } from '../../environment/environment.ts';
import { LevelContextStore, type LevelStore, type LevelStoreOptions, openLevelEnvironment } from '../leveldb.ts';
import type { LevelEnvironment } from './leveldb-environment.ts';
import { appendUnlessLate, loadAll, NEVER_MS } from './log/append-all.ts';
import { beginLog } from './log/begin-log.ts';
import { readDeleted } from './log/deleted-records.ts';
import {
  countLog,
  isLogEmpty,
  type LogCursor,
  type LogEntry,
  type LogPosition,
  type LogState,
  type OriginLog,
  readCursor,
  readEvictedThrough,
  readLog,
  readLogEntry,
  readLogState,
  readLogStates,
  readPosition,
} from './log/origin-log.ts';
import { noteEarlierEvictions } from './room/earlier-evictions.ts';
import type { EvictedLog, OtherHolders } from './room/other-holders.ts';
import { recordKeys } from './tables/tables.ts';

/** The LevelDB store as one of several replicas: it also keeps who wrote which record in which order. */
export interface ReplicaStore extends LevelStore {
  readonly nodeId: NodeId;
  /** How far a log is settled here; of an own log, the last sequence given out. */
  cursor(log: OriginLog): LogCursor;
  /** Through which sequence records of a log were evicted here, or not taken in; 0 where none was. */
  evictedThrough(log: OriginLog): number;
  /** From here on what others hold is evicted first, and they are told of what is. */
  shareWith(others: OtherHolders): void;
  /** Every log of which something is known here. */
  logs(): Promise<LogState[]>;
  /** Of one log; of one that is not known here, as of an empty one. */
  logState(log: OriginLog): Promise<LogState>;
  readLog(log: OriginLog, page: { readonly after: number; readonly limit: number }): Promise<LogEntry[]>;
  /** `undefined` where that sequence has no record any more, or not yet. */
  logEntry(log: OriginLog, sequence: number): LogEntry | undefined;
  /** How many records a log has after a sequence, those that are gone left out. */
  countLog(log: OriginLog, after: number): Promise<number>;
  /** Where a session's records are logged, in turn order, without marking it as used. One that is in no log is left out. */
  sessionEntries(key: SessionKey, page: { readonly fromTurn: number; readonly limit: number }): Promise<SessionEntry[]>;
  /** A record's bytes, unchecked; `undefined` when it is gone. */
  recordBytes(entry: LogEntry): Uint8Array | undefined;
  positionOf(hash: ContextId, keygroup: KeygroupId): LogPosition | undefined;
  /**
   * Takes in records from another node and moves the log's cursor, at once; late turns of deleted sessions are
   * left out. All of it is durable when it resolves. False, and nothing is changed, when the cursor is not at `from`. Where there
   * is no room for its turns, its tombstones are taken in and the cursor stays: throws `store_unavailable`.
   */
  receive(batch: ReceivedBatch): Promise<boolean>;
  /** Nothing of these logs up to there can be counted on here, and others are told so. Durable when it resolves. */
  noteMissing(logs: readonly EvictedLog[]): Promise<void>;
  /** Own records get the next sequences of their log, in this order: those that they had are another's. Durable when it resolves. */
  renumber(log: OriginLog, entries: readonly LogEntry[]): Promise<void>;
  /** Logs of which no record is left are not known any more; of others nothing changes. */
  forgetLogs(logs: readonly OriginLog[]): Promise<void>;
  /**
   * Takes in records of a log that were asked for by themselves, and moves no cursor; late turns of deleted sessions are left
   * out. Their sessions count as used now, or as never used by this: those go first when there is no room. Durable when it resolves.
   */
  receiveFetched(log: OriginLog, records: ReceivedRecords, use: { readonly areUsed: boolean }): Promise<void>;
  /** From here on own records whose sessions are deleted are remembered until they are settled, also by the next start. */
  rememberDeleted(): void;
  /** The first of them after a sequence: what still has their text outside can be found by their numbers. */
  deletedRecords(keygroup: KeygroupId, page: { readonly after: number; readonly limit: number }): Promise<number[]>;
  settleDeleted(keygroup: KeygroupId, sequences: readonly number[]): Promise<void>;
  /** A small text kept with the store under a name. */
  note(name: string, text: string): Promise<void>;
  noted(name: string): string | undefined;
}

/** A record of a session, and where it is logged; a tombstone's turn is 0. */
export interface SessionEntry extends LogPosition {
  readonly turn: number;
  readonly hash: ContextId;
}

interface ReceivedRecord {
  readonly sequence: number;
  readonly sealed: SealedRecord;
}

type ReceivedRecords = readonly ReceivedRecord[];

export interface ReceivedBatch {
  readonly log: OriginLog;
  readonly records: ReceivedRecords;
  /** Sequences that came and are not taken in; those beyond the cursor may come from elsewhere. */
  readonly refused?: readonly number[] | undefined;
  readonly from: LogCursor;
  readonly to: LogCursor;
}

/** As `openLevelStore`, with a log; records that were written without one are logged first. */
export async function openReplica(options: LevelStoreOptions, environment: Environment): Promise<ReplicaStore> {
  const level = await openLevelEnvironment(options, environment);
  try {
    if (!level.isLogged) await beginLog(level);
    await noteEarlierEvictions(level);
    return new LoggedReplica(level, environment);
  } catch (error) {
    await level.close();
    throw error;
  }
}

class LoggedReplica extends LevelContextStore implements ReplicaStore {
  readonly #level: LevelEnvironment;
  readonly #clock: Environment['clock'];

  constructor(level: LevelEnvironment, environment: Environment) {
    super(level, environment);
    this.#level = level;
    this.#clock = environment.clock;
  }

  cursor(log: OriginLog): LogCursor {
    return this.#level.look((tables) => readCursor(tables, log));
  }

  evictedThrough(log: OriginLog): number {
    return this.#level.look((tables) => readEvictedThrough(tables, log));
  }

  shareWith(others: OtherHolders): void {
    this.#level.room.shareWith(others);
  }

  logs(): Promise<LogState[]> {
    return this.#level.read(readLogStates);
  }

  logState(log: OriginLog): Promise<LogState> {
    return this.#level.read((tables) => readLogState(tables, log));
  }

  readLog(log: OriginLog, page: { readonly after: number; readonly limit: number }): Promise<LogEntry[]> {
    return this.#level.read((tables) => readLog(tables, log, page));
  }

  logEntry(log: OriginLog, sequence: number): LogEntry | undefined {
    return this.#level.look((tables) => readLogEntry(tables, log, sequence));
  }

  countLog(log: OriginLog, after: number): Promise<number> {
    return this.#level.read((tables) => countLog(tables, log, after));
  }

  sessionEntries(
    key: SessionKey,
    page: { readonly fromTurn: number; readonly limit: number },
  ): Promise<SessionEntry[]> {
    return this.#level.read(async (tables) => {
      const entries: SessionEntry[] = [];
      for await (const [, , , turn, hash] of recordKeys(tables, key, page)) {
        const position = readPosition(tables, hash as ContextId, key.keygroup);
        if (position !== undefined) entries.push({ ...position, turn, hash: hash as ContextId });
      }
      return entries;
    });
  }

  recordBytes({ recordKey }: LogEntry): Uint8Array | undefined {
    return this.#level.look((tables) => tables.records.get(recordKey));
  }

  positionOf(hash: ContextId, keygroup: KeygroupId): LogPosition | undefined {
    return this.#level.look((tables) => readPosition(tables, hash, keygroup));
  }

  async receive({ log, records, refused = [], from, to }: ReceivedBatch): Promise<boolean> {
    await this.#requireRoomFor(log, records);
    let isAtCursor = false;
    await this.#level.write({
      load: (changes) => loadAll(changes, records),
      decide: (changes) => {
        if (changes.log?.cursor(log).sequence !== from.sequence) return;
        isAtCursor = true;
        const nowMs = this.#clock.now();
        for (const { sequence, sealed } of records) appendUnlessLate(changes, sealed, nowMs, { log, sequence });
        for (const sequence of refused)
          if (sequence <= to.sequence && this.logEntry(log, sequence) === undefined)
            changes.log.noteMissing(log, sequence);
        changes.log.settle(log, to);
      },
    });
    return isAtCursor;
  }

  noteMissing(logs: readonly EvictedLog[]): Promise<void> {
    return this.#level.write({
      decide: (changes) => {
        for (const { log, through } of logs) changes.log?.noteMissing(log, through);
      },
    });
  }

  renumber(log: OriginLog, entries: readonly LogEntry[]): Promise<void> {
    return this.#level.write({
      decide: (changes) => {
        for (const entry of entries) changes.log?.renumber(log, entry);
      },
    });
  }

  async forgetLogs(logs: readonly OriginLog[]): Promise<void> {
    let empty: OriginLog[] = [];
    await this.#level.write({
      load: async () => {
        const areEmpty = await this.#level.read((tables) => Promise.all(logs.map((log) => isLogEmpty(tables, log))));
        empty = logs.filter((_, index) => areEmpty[index]);
      },
      decide(changes) {
        for (const log of empty) changes.log?.forget(log);
      },
    });
  }

  async receiveFetched(log: OriginLog, records: ReceivedRecords, use: { readonly areUsed: boolean }): Promise<void> {
    await this.#requireRoomFor(log, records);
    await this.#take(log, records, use.areUsed ? this.#clock.now() : NEVER_MS);
  }

  /** Where there is no room for turns, what removes is taken in all the same: behind them, it could never make any. */
  async #requireRoomFor(log: OriginLog, records: ReceivedRecords): Promise<void> {
    try {
      this.#level.requireRoomFor(records.map(({ sealed }) => sealed));
    } catch (error) {
      const removing = records.filter(({ sealed }) => sealed.record.kind === 'tombstone');
      if (removing.length > 0) await this.#take(log, removing, this.#clock.now());
      throw error;
    }
  }

  #take(log: OriginLog, records: ReceivedRecords, usedAtMs: number): Promise<void> {
    return this.#level.write({
      load: (changes) => loadAll(changes, records),
      decide: (changes) => {
        for (const { sequence, sealed } of records) appendUnlessLate(changes, sealed, usedAtMs, { log, sequence });
      },
    });
  }

  rememberDeleted(): void {
    this.#level.rememberDeleted();
  }

  deletedRecords(keygroup: KeygroupId, page: { readonly after: number; readonly limit: number }): Promise<number[]> {
    return this.#level.read((tables) => readDeleted(tables, keygroup, page));
  }

  settleDeleted(keygroup: KeygroupId, sequences: readonly number[]): Promise<void> {
    return this.#level.write({ decide: (changes) => changes.log?.settleDeleted(keygroup, sequences) });
  }

  note(name: string, text: string): Promise<void> {
    return this.#level.write({ decide: (changes) => changes.log?.note(name, text) });
  }

  noted(name: string): string | undefined {
    return this.#level.look((tables) => tables.meta.get([name]));
  }
}
