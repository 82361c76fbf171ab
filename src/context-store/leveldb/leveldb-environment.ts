import { isDocument } from '../../domain/cluster/documents.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import type { Incarnation, NodeId, SessionKey } from '../../domain/identifiers.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import type { Environment } from '../../environment/environment.ts';
import type { ErasureMarks } from '../erasure-marks.ts';
import type { SessionRow } from '../session-row.ts';
import { StoreListeners } from '../store-listeners.ts';
import { type DataFolder, reasonOf } from './data-folder/data-folder.ts';
import { readTotals, type WrittenTotals, writeTotals } from './data-folder/store-identity.ts';
import { heldErasures } from './erased-sessions.ts';
import { FailedCommit } from './failed-commit.ts';
import { GroupCommit, type Work } from './group-commit.ts';
import { LogChanges } from './log/origin-log.ts';
import type { DiskReserve } from './room/disk-reserve.ts';
import { Room, type RoomLimits } from './room/room.ts';
import { Resealing, type ToReseal } from './sealing/resealing.ts';
import type { RowSeal } from './sealing/row-seal.ts';
import { SessionChanges, type StoreTotals } from './session-changes.ts';
import { openTables, type Tables } from './tables/tables.ts';
import { WaitingUses } from './waiting-uses.ts';

/** Set in a store that has a log: whoever opens it goes on with that, or the log would have holes. */
const LOGGED = 'logged';
/** After a failed write, how soon one looks again whether the disk works, if nobody writes. */
const MEND_EVERY_MS = 1_000;

export interface LevelEnvironmentParts extends RoomLimits {
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
  readonly folder: DataFolder;
  readonly disk: DiskReserve;
  readonly tables: Tables;
  readonly seal: RowSeal;
  /** Set where rows are to be brought into another form. */
  readonly toReseal: ToReseal | undefined;
}

/**
 * The database of a data folder: consistent reads, writes that are durable when they resolve, several in one synced batch.
 * A write that fails leaves open what is on the disk, until the database is opened again: then it is told, and till then reads
 * go on and writes are refused. Both throw `store_unavailable`.
 */
export class LevelEnvironment {
  /** Told of what a commit has removed, then of every record that it has added. */
  readonly listeners: StoreListeners;
  /** Goes on from the start until it is done; `undefined` where there is nothing to do. */
  readonly resealing: Resealing | undefined;
  readonly erasures: ErasureMarks;
  readonly room: Room;
  readonly #parts: LevelEnvironmentParts;
  readonly #environment: Environment;
  readonly #commits: GroupCommit<SessionChanges>;
  readonly #uses = new WaitingUses();
  /** `undefined` while the database is opened again after a failed write, and where that failed too. */
  #tables: Tables | undefined;
  #written: WrittenTotals;
  #isLogged: boolean;
  #remembersDeleted = false;
  #failed: FailedCommit | undefined;
  #cancelMending = () => {};
  #closing: Promise<void> | undefined;

  private constructor(
    parts: LevelEnvironmentParts,
    held: { readonly written: WrittenTotals; readonly erasures: ErasureMarks },
    environment: Environment,
  ) {
    this.#parts = parts;
    this.erasures = held.erasures;
    this.#environment = environment;
    this.listeners = new StoreListeners(environment.logger);
    this.room = new Room(parts, environment);
    this.#tables = parts.tables;
    this.#written = held.written;
    this.#isLogged = parts.tables.meta.get([LOGGED]) !== undefined;
    this.#commits = new GroupCommit(
      { begin: () => this.#begin(), commit: (changes) => this.#commit(changes) },
      environment,
    );
    this.resealing = parts.toReseal && new Resealing(this, parts.toReseal, environment);
  }

  static async on(parts: LevelEnvironmentParts, environment: Environment): Promise<LevelEnvironment> {
    const { tables } = parts;
    const held = { written: await readTotals(tables), erasures: await heldErasures(tables) };
    return new LevelEnvironment(parts, held, environment);
  }

  get nodeId(): NodeId {
    return this.#parts.nodeId;
  }

  get incarnation(): Incarnation {
    return this.#parts.incarnation;
  }

  get totals(): StoreTotals {
    return this.#written.totals;
  }

  /** Whether every append is logged. */
  get isLogged(): boolean {
    return this.#isLogged;
  }

  /** From here on every append is logged; `complete` says that what was there before is logged, too. */
  keepLog(): { complete(): Promise<void> } {
    this.#isLogged = true;
    return { complete: () => this.write({ decide: (changes) => changes.log?.note(LOGGED, 'yes') }) };
  }

  /** From here on own records that are deleted are remembered until they are settled. */
  rememberDeleted(): void {
    this.#remembersDeleted = true;
  }

  /**
   * Throws `store_unavailable` where the disk, or the store, is too full to take these. What removes is always taken, and documents
   * as long as the disk has more than its reserve.
   */
  requireRoomFor(records: readonly SealedRecord[]): void {
    const turns = records.filter(({ record }) => record.kind === 'turn');
    if (turns.length === 0) return;
    this.#parts.disk.requireRoom();
    if (turns.every(({ record }) => isDocument(record))) return;
    this.room.require(this.totals, () => this.#writeNothing());
  }

  async write(work: Work<SessionChanges>): Promise<void> {
    this.#assertOpen();
    await this.#writeAlsoWhenClosing(work);
  }

  /** For what single keys tell. */
  look<T>(look: (tables: Tables) => T): T {
    const tables = this.#openTables();
    try {
      return look(tables);
    } catch (error) {
      throw unavailable('read', error);
    }
  }

  async read<T>(look: (tables: Tables) => Promise<T>): Promise<T> {
    const tables = this.#openTables();
    try {
      return await look(tables);
    } catch (error) {
      throw unavailable('read', error);
    }
  }

  /** Written with some later commit. */
  noteUse(key: SessionKey, row: SessionRow): void {
    if (this.#uses.note(key, row, this.#environment.clock.now())) this.#writeNothing();
  }

  /** Waits for writes under way. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#cancelMending();
    await this.resealing?.end();
    if (!this.#uses.isEmpty) await this.#writeAlsoWhenClosing(NO_WORK).catch(() => {});
    await this.#commits.idle();
    this.#cancelMending();
    // A write that never ends holds a lock that closing waits for.
    if (!this.#commits.isStuck) await this.#tables?.close();
    this.#tables = undefined;
    this.#failed?.settle();
    await this.#parts.folder.release();
  }

  async #writeAlsoWhenClosing(work: Work<SessionChanges>): Promise<void> {
    try {
      await this.#commits.run(work);
    } catch (error) {
      throw unavailable('write', error);
    }
  }

  #writeNothing(): void {
    this.write(NO_WORK).catch(() => {});
  }

  async #begin(): Promise<SessionChanges> {
    if (this.#failed !== undefined) await this.#mend(this.#failed);
    const { nodeId: origin, incarnation } = this.#parts;
    const tables = this.#tables as Tables;
    const remembersDeleted = this.#remembersDeleted;
    const log = this.#isLogged ? new LogChanges(tables, { origin, incarnation }, { remembersDeleted }) : undefined;
    const changes = new SessionChanges(tables, this.erasures, log);
    await this.#uses.moveTo(changes);
    return changes;
  }

  async #commit(changes: SessionChanges): Promise<void> {
    const tables = this.#tables as Tables;
    const room = await this.room.make(changes, tables, this.totals);
    const { evicted } = room;
    if (changes.isEmpty) return;
    const after = { totals: changes.totalsAfter(this.totals), commit: this.#written.commit + 1 };
    try {
      await tables.write(() => {
        changes.write();
        writeTotals(tables, after);
      });
    } catch (error) {
      this.#environment.logger.error('store_write_failed', {}, error);
      const failed = new FailedCommit({ changes, evicted, after, error });
      this.#failed = failed;
      await this.#mend(failed).catch(() => {
        throw failed.outcomeUnknown();
      });
      if (!failed.isStored) throw error;
      return;
    }
    this.room.counted(room);
    this.#tell({ changes, evicted, after });
  }

  /** Opens the database again, and finds out what has become of the commit that failed. Throws `store_unavailable`. */
  async #mend(failed: FailedCommit): Promise<void> {
    try {
      // The open one is good for reads, so it is left only for one that is likely to open.
      await this.#parts.disk.tryDisk();
      await this.#tables?.close();
      this.#tables = undefined;
      this.#tables = await openTables(this.#parts.folder.databasePath, this.#parts.seal);
      this.#written = await readTotals(this.#tables);
    } catch (error) {
      this.#cancelMending();
      if (this.#closing === undefined)
        this.#cancelMending = this.#environment.clock.after(MEND_EVERY_MS, () => this.#writeNothing());
      throw unavailable('write', error);
    }
    this.#cancelMending();
    this.#failed = undefined;
    failed.isStored = this.#written.commit === failed.outcome.after.commit;
    this.#environment.logger.info('store_opened_again', { lastCommitStored: failed.isStored });
    if (failed.isStored) this.#tell(failed.outcome);
    failed.settle();
    void this.#parts.disk.look();
  }

  #tell({ changes, evicted, after }: FailedCommit['outcome']): void {
    this.#written = after;
    const isClosing = this.#closing !== undefined;
    this.room.tell({ evicted, logs: changes.log?.evicted ?? [], bytes: after.totals.bytes, isClosing });
    for (const key of changes.removed) {
      this.erasures.forget(key);
      this.listeners.tellRemoved(key);
    }
    for (const { sealed, from } of changes.added) {
      this.erasures.note(sealed.record);
      this.listeners.tell(sealed, from);
    }
  }

  #openTables(): Tables {
    this.#assertOpen();
    if (this.#tables === undefined)
      throw new DiscedgeError('store_unavailable', 'the context store is being opened again after a failed write');
    return this.#tables;
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new DiscedgeError('store_unavailable', 'the context store is closed');
  }
}

const NO_WORK: Work<SessionChanges> = { decide() {} };

function unavailable(what: 'read' | 'write', error: unknown): DiscedgeError {
  if (error instanceof DiscedgeError) return error;
  const reason = error instanceof Error ? reasonOf(error) : String(error);
  return new DiscedgeError('store_unavailable', `the context store cannot ${what}: ${reason}`, { cause: error });
}
