import type { Environment } from '../../../environment/environment.ts';
import { abortable } from '../../../waiting/abortable.ts';
import { BackOff } from '../../../waiting/back-off.ts';
import { Bell } from '../../../waiting/bell.ts';
import type { LogEntry, OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import { bytesToPublish } from '../../replication/delta/delta-log.ts';
import { DeletedPages } from '../../replication/publish/deleted-pages.ts';
import { OWN_RECORDS_MISSED_MAX } from '../../replication/pull/catch-up.ts';
import { recordId } from '../names.ts';
import { packBytes, packedLength } from '../seven-bit.ts';
import { BLANK, readLogItems } from '../take/log-items.ts';
import type { FredClient } from '../wire/fred-client.ts';
import { FredFailure } from '../wire/fred-failure.ts';

/** Under way to FReD at once while there is more to publish. */
const WINDOW = 16;
const UPDATE_MS = 5_000;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 5_000;
/** FReD's limit for a message is 4 MiB, with its ids and framing. */
export const VALUE_CHARACTERS_MAX = 4 * 1024 * 1024 - 65_536;
/** At least so often the anchor is written again, where it lives longer than twice that. */
const ANCHOR_EVERY_MS_MAX = 86_400_000;
const ANCHOR = '1';

export interface FredPublisherOptions {
  readonly log: OriginLog;
  readonly replica: ReplicaStore;
  readonly client: FredClient;
  /** Its name in FReD. */
  readonly keygroup: string;
  readonly expirySeconds: number;
  /** FReD has refused something. */
  readonly onFailed: () => void;
}

/** Hands one own log over to this node's FReD node, in order, as the only writer of its items; and again what that has lost. */
export class FredPublisher {
  readonly #options: FredPublisherOptions;
  readonly #environment: Environment;
  readonly #bell: Bell;
  readonly #deleted: DeletedPages;
  readonly #uncarried = new Set<number>();
  #published = 0;
  /** Up to there the log's numbers are its records' alone: those of this start come after it. */
  #comparedTo: number;
  #mayPublish = false;
  #mustLook = false;

  constructor(options: FredPublisherOptions, environment: Environment) {
    this.#options = options;
    this.#deleted = new DeletedPages(options);
    this.#environment = environment;
    this.#comparedTo = options.replica.cursor(options.log).sequence;
    this.#bell = new Bell(environment.clock);
  }

  get log(): OriginLog {
    return this.#options.log;
  }

  /** Of the last record that FReD has been given. */
  get published(): number {
    return this.#published;
  }

  /** Records that no message can carry: they are here, and on no other node. */
  get uncarried(): ReadonlySet<number> {
    const { replica, log } = this.#options;
    for (const sequence of this.#uncarried)
      if (replica.logEntry(log, sequence) === undefined) this.#uncarried.delete(sequence);
    return this.#uncarried;
  }

  /** There may be something to publish. */
  wake(): void {
    this.#bell.ring();
  }

  /** The keygroup is in place, perhaps without what it held. */
  joined(): void {
    this.#mayPublish = true;
    this.#mustLook = true;
    this.#bell.ring();
  }

  /** Publishes until `signal` aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const backOff = new BackOff({ firstMs: RETRY_FIRST_MS, maxMs: RETRY_MAX_MS });
    let isTold = false;
    while (!signal.aborted) {
      try {
        if (!this.#mayPublish) await this.#bell.wait(signal);
        else
          await abortable(
            this.#publish(signal, () => {
              backOff.reset();
              isTold = false;
            }),
            signal,
          );
      } catch (error) {
        if (signal.aborted) return;
        if (!isTold) this.#environment.logger.warn('outbox_waits', { keygroup: this.#options.keygroup }, error);
        isTold = true;
        this.#options.onFailed();
        await this.#bell.wait(signal, backOff.next());
      }
    }
  }

  async #publish(signal: AbortSignal, onProgress: () => void): Promise<void> {
    const { expirySeconds, replica, log } = this.#options;
    if (this.#mustLook) {
      this.#mustLook = false;
      await this.#giveAgain(signal).catch((error) => {
        this.#mustLook = true;
        throw error;
      });
    }
    const anchorEveryMs = Math.min((expirySeconds * 1000) / 2, ANCHOR_EVERY_MS_MAX);
    const { clock } = this.#environment;
    let anchorAtMs = clock.monotonic() + anchorEveryMs;
    while (!signal.aborted && !this.#mustLook) {
      const { sequence: end } = replica.cursor(log);
      const entries = await replica.readLog(log, { after: this.#published, limit: WINDOW });
      await this.#giveAll(entries, signal);
      this.#published = Math.max(this.#published, entries.at(-1)?.sequence ?? end);
      const isMoreToBlank = await this.#blankSomeDeleted(signal);
      onProgress();
      if (clock.monotonic() >= anchorAtMs) {
        await this.#put(0, ANCHOR, signal);
        anchorAtMs = clock.monotonic() + anchorEveryMs;
      }
      if (entries.length === 0 && !isMoreToBlank)
        await this.#bell.wait(signal, Math.max(0, anchorAtMs - clock.monotonic()));
    }
  }

  /** Own live records that FReD does not hold. */
  async #giveAgain(signal: AbortSignal): Promise<void> {
    const { client, keygroup, replica, log } = this.#options;
    await this.#put(0, ANCHOR, signal);
    const held = new Set<number>();
    const foreign = new Map<number, LogEntry>();
    const look = async (from: number) => {
      for await (const { sequence, value } of readLogItems({ client, keygroup, log, after: from, signal })) {
        held.add(sequence);
        const entry = sequence > this.#comparedTo ? replica.logEntry(log, sequence) : undefined;
        if (entry !== undefined && !this.#isItem(entry, value)) foreign.set(sequence, entry);
      }
    };
    await look(0);
    // Turns that were written during the look, under numbers that items have: no more of them come.
    if (await this.#goOnAfter(held)) await look(this.#comparedTo);
    if (foreign.size > 0)
      await replica.renumber(
        log,
        [...foreign.values()].sort((a, b) => a.sequence - b.sequence),
      );
    const { sequence: comparedTo } = replica.cursor(log);
    let after = 0;
    for (;;) {
      const { sequence: end } = replica.cursor(log);
      const entries = await replica.readLog(log, { after, limit: WINDOW * 8 });
      if (entries.length === 0) {
        // The last ones may be gone, and are to be blanked.
        this.#published = Math.max(after, end);
        this.#comparedTo = comparedTo;
        return;
      }
      const lost = entries.filter(({ sequence }) => !held.has(sequence));
      for (let at = 0; at < lost.length; at += WINDOW) await this.#giveAll(lost.slice(at, at + WINDOW), signal);
      after = (entries.at(-1) as LogEntry).sequence;
    }
  }

  /** Items beyond the log tell that an older copy of this node's disk was put back; returns whether it was. */
  async #goOnAfter(held: ReadonlySet<number>): Promise<boolean> {
    const { log, replica } = this.#options;
    const start = replica.cursor(log).sequence;
    let last = 0;
    // Anybody may write an id: a false one must not use up the numbers.
    for (const sequence of held) if (sequence <= start + OWN_RECORDS_MISSED_MAX) last = Math.max(last, sequence);
    if (last <= start) return false;
    this.#environment.logger.error('store_rolled_back', { last: start, published: last });
    for (;;) {
      const from = replica.cursor(log);
      if (last <= from.sequence) break;
      // A turn that is written meanwhile moves the log, too.
      if (await replica.receive({ log, records: [], from, to: { ...from, sequence: last } })) break;
    }
    return true;
  }

  /** Whether the item holds this record, and not one that an older copy of the disk has forgotten. */
  #isItem(entry: LogEntry, value: string | undefined): boolean {
    const { replica, log } = this.#options;
    const forms = [bytesToPublish(replica, log, entry), replica.recordBytes(entry)];
    return forms.some((bytes) => bytes === undefined || packBytes(bytes) === value);
  }

  async #giveAll(entries: readonly LogEntry[], signal: AbortSignal): Promise<void> {
    const given = await Promise.allSettled(entries.map((entry) => this.#give(entry, signal)));
    for (const one of given) if (one.status === 'rejected') throw one.reason;
  }

  async #give(entry: LogEntry, signal: AbortSignal): Promise<void> {
    const { replica, log } = this.#options;
    const bytes = bytesToPublish(replica, log, entry);
    if (bytes === undefined) return;
    if (packedLength(bytes.length) > VALUE_CHARACTERS_MAX) return this.#keepHere(entry, bytes.length);
    try {
      await this.#put(entry.sequence, packBytes(bytes), signal);
    } catch (error) {
      if (!(error instanceof FredFailure && error.kind === 'too-large')) throw error;
      this.#keepHere(entry, bytes.length);
    }
  }

  #keepHere({ sequence }: LogEntry, bytes: number): void {
    if (!this.#uncarried.has(sequence)) this.#environment.logger.error('record_not_published', { bytes });
    this.#uncarried.add(sequence);
  }

  /** Of what FReD has been given; false where nothing is left. */
  async #blankSomeDeleted(signal: AbortSignal): Promise<boolean> {
    const deleted = await this.#deleted.next({ limit: WINDOW, upTo: this.#published });
    await Promise.all(deleted.map((sequence) => this.#put(sequence, BLANK, signal)));
    await this.#deleted.settle(deleted);
    return deleted.length > 0;
  }

  async #put(sequence: number, value: string, signal: AbortSignal): Promise<void> {
    const { client, keygroup, log } = this.#options;
    await client.update({ keygroup, id: recordId(log, sequence), value }, { callMs: UPDATE_MS, signal });
  }
}
