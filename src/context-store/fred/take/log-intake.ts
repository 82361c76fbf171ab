import type { NodeId } from '../../../domain/identifiers.ts';
import type { SealedRecord } from '../../../domain/record/record-codec.ts';
import { NewerRecord } from '../../../domain/record/record-version.ts';
import type { Environment } from '../../../environment/environment.ts';
import { BackOff } from '../../../waiting/back-off.ts';
import { Bell } from '../../../waiting/bell.ts';
import { pause } from '../../../waiting/pause.ts';
import type { LogCursor, OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import { recordAt } from '../../replication/delta/delta-log.ts';
import { DeltaUnreadable } from '../../replication/delta/delta-record.ts';
import { failureText } from '../../replication/failure-text.ts';
import type { Applier } from '../../replication/pull/applier.ts';
import { backFill, type Holder, SkippedRecords } from '../../replication/pull/back-fill.ts';
import { afterBackFill } from '../../replication/pull/pull-position.ts';
import { unpackBytes } from '../seven-bit.ts';
import type { FredClient } from '../wire/fred-client.ts';
import { BLANK, type LogItem, readLogItems } from './log-items.ts';

/** Items that have come and are not taken in yet; of more, the later ones are scanned for. */
const WAITING_MAX = 1_000;
const WAITING_CHARACTERS_MAX = 16 * 1024 * 1024;
/** Records in one batch. */
const BATCH_MAX = 256;
/** Triggers come in no order: what is missing before one mostly comes right after it. */
const ORDER_WAIT_MS = 50;
const RETRY_FIRST_MS = 200;
const RETRY_MAX_MS = 15_000;
/** A log that waits for an upgrade of this node is looked at so often: the record may be gone by then. */
const NEWER_AGAIN_MS = 300_000;

export interface LogIntakeOptions {
  readonly log: OriginLog;
  /** Its name in FReD. */
  readonly keygroup: string;
  readonly replica: ReplicaStore;
  readonly applier: Applier;
  readonly origin: Holder;
  readonly otherHolders: () => readonly Holder[];
  /** FReD nodes that may have the log, the nearest first, and whose they are. */
  readonly nodes: () => readonly { readonly nodeId: NodeId; readonly client: FredClient }[];
  /** More of the log is settled, or may be. */
  readonly onSettled: () => void;
  /** Characters of values read. */
  readonly onRead?: (characters: number) => void;
}

/** Takes one log of a peer in: what triggers bring, what a scan finds, and what neither has, asked for. In order, whatever comes first. */
export class LogIntake {
  readonly #options: LogIntakeOptions;
  readonly #environment: Environment;
  readonly #bell: Bell;
  readonly #waiting = new Map<number, string>();
  #waitingCharacters = 0;
  #mustScan = true;
  /** The origin has told that it has so many. */
  #through = 0;
  #seen: number | undefined;
  #heldUntilMs = 0;
  #lastSeen = 0;

  constructor(options: LogIntakeOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    this.#bell = new Bell(environment.clock);
  }

  get log(): OriginLog {
    return this.#options.log;
  }

  get cursor(): LogCursor {
    return this.#options.replica.cursor(this.log);
  }

  /** Of the log's records, as far as is known. */
  get last(): number {
    return Math.max(this.#lastSeen, this.#through);
  }

  /** An item of the log has been told of. */
  arrived(sequence: number, value: string): void {
    this.#keep({ sequence, value: value === BLANK || value === '' ? undefined : value });
    this.#bell.ring();
  }

  /** Time to scan: triggers are lost without a sign. */
  look(): void {
    this.#mustScan = true;
    this.#bell.ring();
  }

  /** The origin has so many: what no FReD node has is asked for. */
  expect(through: number): void {
    if (through <= this.#through) return;
    this.#through = through;
    this.look();
  }

  /** Until `signal` aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#environment;
    const backOff = new BackOff({ firstMs: RETRY_FIRST_MS, maxMs: RETRY_MAX_MS });
    while (!signal.aborted) {
      try {
        await this.#takeWaiting();
        if (this.#waiting.size > 0) await pause(clock, ORDER_WAIT_MS, signal);
        await this.#takeWaiting();
        if (this.#mustScan || this.#waiting.size > 0) await this.#scan(signal);
        backOff.reset();
        if (!this.#mustScan) await this.#bell.wait(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof NewerRecord) this.#hold();
        else logger.debug('intake_waits', { origin: this.log.origin, why: failureText(error) });
        await this.#bell.wait(signal, backOff.next());
      }
    }
  }

  /** Nothing beyond that record is taken: what has come is fetched again then. */
  #hold(): void {
    this.#forget();
    this.#heldUntilMs = this.#environment.clock.monotonic() + NEWER_AGAIN_MS;
    this.#mustScan = false;
  }

  async #scan(signal: AbortSignal): Promise<void> {
    const { replica, applier, origin, otherHolders } = this.#options;
    this.#mustScan = false;
    const isHeld = applier.held.at(this.log) !== undefined;
    if (isHeld && this.#environment.clock.monotonic() < this.#heldUntilMs) return this.#forget();
    for (const { nodeId, client } of this.#options.nodes()) {
      await this.#scanAt(client, signal).catch((error) => {
        if (error instanceof NewerRecord) throw error;
        this.#environment.logger.debug('scan_failed', { peer: nodeId, why: failureText(error) });
      });
    }
    await this.#passHeld();
    const state = await replica.logState(this.log);
    // Others may have handed out some of the log while its origin was away; records between may be there, too.
    const next = Math.min(
      ...this.#waiting.keys(),
      state.last > state.cursor.sequence ? state.last : Number.POSITIVE_INFINITY,
    );
    if (next !== Number.POSITIVE_INFINITY) {
      const skipped = new SkippedRecords(this.log, { origin, others: otherHolders }, { replica, applier });
      if (await skipped.settle(next)) this.#mustScan ||= this.cursor.sequence > state.cursor.sequence;
      else this.#refuse(next);
    } else if (this.#through > state.cursor.sequence) {
      await backFill(
        { log: this.log, holder: origin, after: state.cursor.sequence, through: this.#through, isOrigin: true },
        { replica, applier },
      );
    }
    this.#options.onSettled();
    await this.#takeWaiting();
  }

  /** Others have handed out what comes right after the cursor. */
  async #passHeld(): Promise<void> {
    const { replica, applier } = this.#options;
    for (;;) {
      const from = this.cursor;
      const entries = await replica.readLog(this.log, { after: from.sequence, limit: BATCH_MAX });
      const next = entries.findIndex(({ sequence }, index) => sequence !== from.sequence + index + 1);
      const count = next === -1 ? entries.length : next;
      if (count === 0) return;
      const to = afterBackFill(from, from.sequence + count);
      await applier.take({ log: this.log, records: [], from, to });
    }
  }

  async #scanAt(client: FredClient, signal: AbortSignal): Promise<void> {
    const { keygroup } = this.#options;
    const after = this.cursor.sequence;
    const from = this.#seen !== undefined && this.#seen <= after ? this.#seen : undefined;
    for await (const item of readLogItems({ client, keygroup, log: this.log, after, from, signal })) {
      this.#options.onRead?.(item.value?.length ?? 1);
      this.#keep(item);
      this.#seen = item.sequence;
      if (this.#waiting.size >= BATCH_MAX) await this.#takeWaiting();
      // What lies between the cursor and what waits must be settled first.
      if (this.#waiting.size >= WAITING_MAX) return;
    }
    await this.#takeWaiting();
  }

  /** The log cannot be settled up to there: its origin knows of no such record. */
  #refuse(sequence: number): void {
    const { applier } = this.#options;
    this.#drop(sequence);
    applier.refuse(this.log.origin, 'unknown_sequence');
  }

  #keep({ sequence, value }: LogItem): void {
    if (!Number.isSafeInteger(sequence) || sequence <= this.cursor.sequence) return;
    this.#lastSeen = Math.max(this.#lastSeen, sequence);
    const kept = value ?? BLANK;
    const isFull = this.#waiting.size >= WAITING_MAX || this.#waitingCharacters >= WAITING_CHARACTERS_MAX;
    if (isFull && sequence !== this.cursor.sequence + 1) return;
    this.#drop(sequence);
    this.#waiting.set(sequence, kept);
    this.#waitingCharacters += kept.length;
  }

  #drop(sequence: number): void {
    this.#waitingCharacters -= this.#waiting.get(sequence)?.length ?? 0;
    this.#waiting.delete(sequence);
  }

  #forget(): void {
    this.#waiting.clear();
    this.#waitingCharacters = 0;
  }

  /** All that comes right after the cursor. */
  async #takeWaiting(): Promise<void> {
    for (;;) {
      for (const sequence of this.#waiting.keys()) if (sequence <= this.cursor.sequence) this.#drop(sequence);
      if (!this.#waiting.has(this.cursor.sequence + 1)) return;
      await this.#takeRun();
      this.#options.onSettled();
    }
  }

  async #takeRun(): Promise<void> {
    const { applier, replica, origin, otherHolders } = this.#options;
    const from = this.cursor;
    const run = new Map<number, SealedRecord>();
    let { sequence } = from;
    let failure: unknown;
    while (run.size < BATCH_MAX) {
      const value = this.#waiting.get(sequence + 1);
      if (value === undefined) break;
      try {
        const sealed = this.#opened(sequence + 1, value, run);
        sequence++;
        if (sealed !== undefined) run.set(sequence, sealed);
      } catch (error) {
        if (!(error instanceof DeltaUnreadable || error instanceof NewerRecord)) throw error;
        failure = error;
        break;
      }
    }
    const records = [...run].map(([at, sealed]) => ({ sequence: at, sealed }));
    if (sequence > from.sequence) await applier.take({ log: this.log, records, from, to: { ...from, sequence } });
    if (failure instanceof NewerRecord) throw failure;
    if (failure === undefined) return;
    const next = sequence + 1;
    const skipped = new SkippedRecords(this.log, { origin, others: otherHolders }, { replica, applier });
    // Its origin does not list it, and so knows of no such record.
    if (!(await skipped.settle(next + 1))) this.#refuse(next);
  }

  #opened(sequence: number, value: string, run: ReadonlyMap<number, SealedRecord>): SealedRecord | undefined {
    const { applier, replica } = this.#options;
    if (value === BLANK) return undefined;
    const bytes = unpackBytes(value);
    // Characters that no bytes make: whatever it is, the origin has the record.
    if (bytes === undefined) throw new DeltaUnreadable('not 7 bits a character');
    const turnAt = (distance: number) =>
      run.get(sequence - distance) ?? recordAt(replica, this.log, sequence - distance);
    const sealed = applier.open({ log: this.log, sequence, peer: this.log.origin, bytes, turnAt });
    // What is refused may be the item's fault, not the record's.
    if (sealed === undefined) throw new DeltaUnreadable('the item was refused');
    return sealed;
  }
}
