import { DiscedgeError } from '../../domain/errors.ts';
import type { ContextId, KeygroupId, NodeId, SessionKey } from '../../domain/identifiers.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import type { Environment } from '../../environment/environment.ts';
import { LmdbContextStore, type LmdbStore, type LmdbStoreOptions, openLmdbEnvironment } from '../lmdb.ts';
import type { LmdbEnvironment } from './lmdb-environment.ts';
import {
  countLog,
  type LogCursor,
  type LogEntry,
  type LogPosition,
  type LogState,
  type OriginLog,
  readCursor,
  readLog,
  readLogStates,
  readPosition,
} from './origin-log.ts';
import type { SessionChanges } from './session-changes.ts';
import { readRecords, recordKeys, sessionKeyFrom, TOMBSTONE_TURN } from './tables.ts';

/** The LMDB store as one of several replicas: it also keeps who wrote which record in which order. */
export interface ReplicaStore extends LmdbStore {
  readonly nodeId: NodeId;
  /** How far a log is settled here; of an own log, the last sequence given out. */
  cursor(log: OriginLog): LogCursor;
  /** Every log of which something is known here. */
  logs(): LogState[];
  readLog(log: OriginLog, page: { readonly after: number; readonly limit: number }): LogEntry[];
  /** How many records a log has after a sequence, those that are gone left out. */
  countLog(log: OriginLog, after: number): number;
  /** Where a session's records are logged, in turn order, without marking it as used. One that is in no log is left out. */
  sessionEntries(key: SessionKey, page: { readonly fromTurn: number; readonly limit: number }): SessionEntry[];
  /** A record's bytes, unchecked; `undefined` when it is gone. */
  recordBytes(entry: LogEntry): Uint8Array | undefined;
  positionOf(hash: ContextId, keygroup: KeygroupId): LogPosition | undefined;
  /**
   * Takes in records from another node and moves the log's cursor, in one transaction; late turns of deleted sessions are
   * left out. All of it is durable when it resolves. False, and nothing is changed, when the cursor is not at `from`.
   */
  receive(batch: ReceivedBatch): Promise<boolean>;
  /** Logs of which no record is left are not known any more; of others nothing changes. */
  forgetLogs(logs: readonly OriginLog[]): Promise<void>;
  /**
   * Takes in records of a log that were asked for by themselves, and moves no cursor; late turns of deleted sessions are left
   * out. Their sessions count as used now, or as never used by this: those go first when there is no room. Durable when it resolves.
   */
  receiveFetched(log: OriginLog, records: ReceivedBatch['records'], use: { readonly areUsed: boolean }): Promise<void>;
  /** A small text kept with the store under a name. */
  note(name: string, text: string): Promise<void>;
  noted(name: string): string | undefined;
}

/** A record of a session, and where it is logged; a tombstone's turn is 0. */
export interface SessionEntry extends LogPosition {
  readonly turn: number;
  readonly hash: ContextId;
}

export interface ReceivedBatch {
  readonly log: OriginLog;
  readonly records: readonly { readonly sequence: number; readonly sealed: SealedRecord }[];
  readonly from: LogCursor;
  readonly to: LogCursor;
}

/** As `openLmdbStore`, with a log; records that were written without one are logged first. */
export async function openReplica(options: LmdbStoreOptions, environment: Environment): Promise<ReplicaStore> {
  const lmdb = await openLmdbEnvironment(options, environment);
  try {
    if (!lmdb.isLogged) await beginLog(lmdb);
    return new LoggedReplica(lmdb, environment);
  } catch (error) {
    await lmdb.close();
    throw error;
  }
}

/** When a session was last used that nobody has used. */
const NEVER_MS = 0;

/** What was there before is appended once more, which only logs it. */
async function beginLog(lmdb: LmdbEnvironment): Promise<void> {
  const log = lmdb.keepLog();
  for (const key of lmdb.read((tables) => [...tables.sessions.getKeys()].map(sessionKeyFrom))) {
    const records = lmdb.read((tables) => readRecords(tables, key, { firstTurn: TOMBSTONE_TURN, onUnreadable() {} }));
    await lmdb.write((changes) => {
      for (const sealed of records) appendUnlessLate(changes, sealed, NEVER_MS);
    });
  }
  await log.complete();
}

class LoggedReplica extends LmdbContextStore implements ReplicaStore {
  readonly #lmdb: LmdbEnvironment;
  readonly #clock: Environment['clock'];

  constructor(lmdb: LmdbEnvironment, environment: Environment) {
    super(lmdb, environment);
    this.#lmdb = lmdb;
    this.#clock = environment.clock;
  }

  cursor(log: OriginLog): LogCursor {
    return this.#lmdb.read((tables) => readCursor(tables, log));
  }

  logs(): LogState[] {
    return this.#lmdb.read(readLogStates);
  }

  readLog(log: OriginLog, page: { readonly after: number; readonly limit: number }): LogEntry[] {
    return this.#lmdb.read((tables) => readLog(tables, log, page));
  }

  countLog(log: OriginLog, after: number): number {
    return this.#lmdb.read((tables) => countLog(tables, log, after));
  }

  sessionEntries(key: SessionKey, page: { readonly fromTurn: number; readonly limit: number }): SessionEntry[] {
    return this.#lmdb.read((tables) =>
      [...recordKeys(tables, key, page)].flatMap(([, , , turn, hash]) => {
        const position = readPosition(tables, hash as ContextId, key.keygroup);
        return position === undefined ? [] : [{ ...position, turn, hash: hash as ContextId }];
      }),
    );
  }

  recordBytes({ recordKey }: LogEntry): Uint8Array | undefined {
    return this.#lmdb.read((tables) => tables.records.get(recordKey));
  }

  positionOf(hash: ContextId, keygroup: KeygroupId): LogPosition | undefined {
    return this.#lmdb.read((tables) => readPosition(tables, hash, keygroup));
  }

  async receive({ log, records, from, to }: ReceivedBatch): Promise<boolean> {
    if (records.some(({ sealed }) => sealed.record.kind === 'turn')) this.#lmdb.requireRoom();
    let isAtCursor = false;
    await this.#lmdb.write((changes) => {
      if (changes.log?.cursor(log).sequence !== from.sequence) return;
      isAtCursor = true;
      const nowMs = this.#clock.now();
      for (const { sequence, sealed } of records) appendUnlessLate(changes, sealed, nowMs, { log, sequence });
      changes.log.settle(log, to);
    });
    return isAtCursor;
  }

  forgetLogs(logs: readonly OriginLog[]): Promise<void> {
    return this.#lmdb.write((changes) => {
      for (const log of logs) changes.log?.forget(log);
    });
  }

  async receiveFetched(
    log: OriginLog,
    records: ReceivedBatch['records'],
    { areUsed }: { readonly areUsed: boolean },
  ): Promise<void> {
    if (records.some(({ sealed }) => sealed.record.kind === 'turn')) this.#lmdb.requireRoom();
    await this.#lmdb.write((changes) => {
      const usedAtMs = areUsed ? this.#clock.now() : NEVER_MS;
      for (const { sequence, sealed } of records) appendUnlessLate(changes, sealed, usedAtMs, { log, sequence });
    });
  }

  note(name: string, text: string): Promise<void> {
    return this.#lmdb.write((changes) => changes.log?.note(name, text));
  }

  noted(name: string): string | undefined {
    return this.#lmdb.read((tables) => tables.meta.get(name));
  }
}

function appendUnlessLate(
  changes: SessionChanges,
  sealed: SealedRecord,
  usedAtMs: number,
  position?: LogPosition,
): void {
  try {
    changes.append(sealed, usedAtMs, position);
  } catch (error) {
    if (!(error instanceof DiscedgeError && error.code === 'session_deleted')) throw error;
  }
}
