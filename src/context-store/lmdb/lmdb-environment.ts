import { DiscedgeError } from '../../domain/errors.ts';
import {
  type Incarnation,
  type NodeId,
  type SessionKey,
  type SessionKeyText,
  sessionKeyText,
} from '../../domain/identifiers.ts';
import type { Environment } from '../../environment/environment.ts';
import type { SessionRow } from '../session-row.ts';
import { USE_NOTED_EVERY_MS } from '../store-limits.ts';
import { StoreListeners } from '../store-listeners.ts';
import type { DataFolder } from './data-folder.ts';
import type { DiskReserve } from './disk-reserve.ts';
import { GroupCommit } from './group-commit.ts';
import { LogChanges } from './origin-log.ts';
import { SessionChanges, type StoreTotals } from './session-changes.ts';
import { readTotals, writeTotals } from './store-identity.ts';
import { openTables, type Tables } from './tables.ts';

/** Uses of sessions not yet written. They go along with the next commit; this many get a commit of their own. */
const USES_WAITING_MAX = 1_000;
/** Set in a store that has a log: whoever opens it goes on with that, or the log would have holes. */
const LOGGED = 'logged';

export interface LmdbEnvironmentParts {
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
  readonly folder: DataFolder;
  readonly disk: DiskReserve;
  readonly tables: Tables;
  /** Sealed record bytes above which least recently used sessions are evicted. */
  readonly bytesMax: number;
}

/**
 * The LMDB environment of a data folder: consistent reads, writes that are durable when they resolve, several in one
 * transaction, and a new environment where a write has failed. Both throw `store_unavailable`.
 */
export class LmdbEnvironment {
  /** Told of what a commit has removed, then of every record that it has added. */
  readonly listeners: StoreListeners;
  readonly #parts: LmdbEnvironmentParts;
  readonly #environment: Environment;
  readonly #commits: GroupCommit<SessionChanges>;
  readonly #usesWaiting = new Map<SessionKeyText, { readonly key: SessionKey; readonly usedAtMs: number }>();
  /** `undefined` while a failed environment is opened again; the next write tries, where that failed too. */
  #tables: Tables | undefined;
  #totals: StoreTotals;
  #evictedSessions = 0;
  #isLogged: boolean;
  #closing: Promise<void> | undefined;

  constructor(parts: LmdbEnvironmentParts, environment: Environment) {
    this.#parts = parts;
    this.#environment = environment;
    this.listeners = new StoreListeners(environment.logger);
    this.#tables = parts.tables;
    this.#totals = readTotals(parts.tables);
    this.#isLogged = parts.tables.meta.doesExist(LOGGED);
    this.#commits = new GroupCommit(
      { begin: () => this.#begin(), commit: (changes) => this.#commit(changes) },
      environment,
    );
  }

  get nodeId(): NodeId {
    return this.#parts.nodeId;
  }

  get incarnation(): Incarnation {
    return this.#parts.incarnation;
  }

  get totals(): StoreTotals {
    return this.#totals;
  }

  /** Since the start. */
  get evictedSessions(): number {
    return this.#evictedSessions;
  }

  /** Whether every append is logged. */
  get isLogged(): boolean {
    return this.#isLogged;
  }

  /** From here on every append is logged; `complete` says that what was there before is logged, too. */
  keepLog(): { complete(): Promise<void> } {
    this.#isLogged = true;
    return { complete: () => this.write((changes) => changes.log?.note(LOGGED, 'yes')) };
  }

  /** Throws `store_unavailable` where the disk is too full to take more. */
  requireRoom(): void {
    this.#parts.disk.requireRoom();
  }

  async write(work: (changes: SessionChanges) => void): Promise<void> {
    this.#assertOpen();
    await this.#writeAlsoWhenClosing(work);
  }

  read<T>(look: (tables: Tables) => T): T {
    this.#assertOpen();
    if (this.#tables === undefined)
      throw new DiscedgeError('store_unavailable', 'the context store is being opened again after a failed write');
    try {
      return look(this.#tables);
    } catch (error) {
      throw unavailable('read', error);
    }
  }

  /** Written with some later commit: a lost one only makes a session look older than it is. */
  noteUse(key: SessionKey, row: SessionRow): void {
    const usedAtMs = this.#environment.clock.now();
    const keyText = sessionKeyText(key);
    const notedAtMs = this.#usesWaiting.get(keyText)?.usedAtMs ?? row.lastUsedAtMs;
    if (usedAtMs - notedAtMs < USE_NOTED_EVERY_MS) return;
    this.#usesWaiting.set(keyText, { key, usedAtMs });
    if (this.#usesWaiting.size === USES_WAITING_MAX) this.write(() => {}).catch(() => {});
  }

  /** Waits for writes under way. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#usesWaiting.size > 0) await this.#writeAlsoWhenClosing(() => {}).catch(() => {});
    await this.#commits.idle();
    // A write that never ends holds a lock that closing waits for.
    if (!this.#commits.isStuck) await this.#tables?.close();
    this.#tables = undefined;
    await this.#parts.folder.release();
  }

  async #writeAlsoWhenClosing(work: (changes: SessionChanges) => void): Promise<void> {
    try {
      await this.#commits.run(work);
    } catch (error) {
      throw unavailable('write', error);
    }
  }

  #begin(): SessionChanges {
    const { nodeId: origin, incarnation, folder } = this.#parts;
    this.#tables ??= openTables(folder.storePath);
    const log = this.#isLogged ? new LogChanges(this.#tables, { origin, incarnation }) : undefined;
    const changes = new SessionChanges(this.#tables, log);
    for (const { key, usedAtMs } of this.#usesWaiting.values()) changes.markUsed(key, usedAtMs);
    this.#usesWaiting.clear();
    return changes;
  }

  async #commit(changes: SessionChanges): Promise<void> {
    const tables = this.#tables as Tables;
    const evicted = changes.evict(this.#totals, this.#parts.bytesMax);
    if (changes.isEmpty) return;
    const totals = changes.totalsAfter(this.#totals);
    try {
      await tables.write(() => {
        changes.write();
        writeTotals(tables, totals);
      });
    } catch (error) {
      // Refused before it began.
      if (error instanceof DiscedgeError) throw error;
      // After some failures lmdb answers every later write with silence, and only a new environment writes again.
      this.#environment.logger.error('store_write_failed', {}, error);
      this.#tables = undefined;
      await tables.close();
      this.#tables = openTables(this.#parts.folder.storePath);
      // It may have been stored all the same, when it was the last step that failed.
      this.#totals = readTotals(this.#tables);
      throw error;
    }
    this.#totals = totals;
    if (evicted > 0) {
      this.#evictedSessions += evicted;
      this.#environment.logger.info('sessions_evicted', { sessions: evicted, bytes: totals.bytes });
    }
    for (const key of changes.removed) this.listeners.tellRemoved(key);
    for (const { sealed, from } of changes.added) this.listeners.tell(sealed, from);
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new DiscedgeError('store_unavailable', 'the context store is closed');
  }
}

function unavailable(what: 'read' | 'write', error: unknown): DiscedgeError {
  if (error instanceof DiscedgeError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  // lmdb reports a full disk as an I/O error.
  const hint = what === 'write' ? ' (is its disk full?)' : '';
  return new DiscedgeError('store_unavailable', `the context store cannot ${what}: ${reason}${hint}`, { cause: error });
}
