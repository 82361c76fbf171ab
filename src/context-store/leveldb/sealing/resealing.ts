import type { Environment } from '../../../environment/environment.ts';
import { Pause } from '../../../waiting/pause.ts';
import type { LevelEnvironment } from '../leveldb-environment.ts';
import type { ConversationKey } from '../tables/conversation-table.ts';
import { rewriteConversations } from '../tables/conversation-table.ts';
import type { RecordKey, Tables } from '../tables/tables.ts';
import { writeEncryptionNote } from './encryption-note.ts';
import { partsOfContents } from './rewritten-parts.ts';
import { formOf, type KeyedRowSeal, type RowForm } from './row-seal.ts';
import { writeForms } from './sealed-forms.ts';

/** In one synced batch, which turns wait behind: some milliseconds. */
const BATCH_ROWS = 200;
const BATCH_BYTES = 1024 * 1024;
/** Between two tries on a disk that takes no writes. */
const RETRY_MS = 5_000;
/** Of a large store, how often it is said how far this is. */
const TELL_EVERY_MS = 10_000;

/** A store with rows in another form than those that are written. */
export interface ToReseal {
  readonly seal: KeyedRowSeal;
  /** In which. */
  readonly before: readonly RowForm[];
  /** The data folder, whose note tells how far it is. */
  readonly folder: string;
}

/**
 * Brings every row of a store into the form that rows are written in, while it is used: seals what is in the clear, and seals anew what
 * an earlier key has sealed. Once none is left in another form, none is read in one any more. Begins again at the next start
 * where it was ended; rows that were done are passed over then.
 */
export class Resealing {
  readonly #level: LevelEnvironment;
  readonly #toReseal: ToReseal;
  readonly #seal: KeyedRowSeal;
  readonly #environment: Environment;
  #recordsLeft: number;
  #rewritten = 0;
  #unreadable = 0;
  #isEnded = false;
  #pause: Pause | undefined;
  #toldMs: number;
  readonly #done: Promise<void>;

  constructor(level: LevelEnvironment, toReseal: ToReseal, environment: Environment) {
    this.#level = level;
    this.#toReseal = toReseal;
    this.#seal = toReseal.seal;
    this.#environment = environment;
    this.#recordsLeft = level.totals.records;
    this.#toldMs = environment.clock.monotonic();
    environment.logger.info('resealing_begun', { records: this.#recordsLeft, key: this.#seal.form });
    this.#done = this.#untilDone();
  }

  /** Records that have not been looked at yet. */
  get recordsLeft(): number {
    return this.#recordsLeft;
  }

  /** Resolves when it is done or ended. Never rejects. */
  get done(): Promise<void> {
    return this.#done;
  }

  /** Resolves when it does nothing any more. */
  async end(): Promise<void> {
    this.#isEnded = true;
    this.#pause?.end();
    await this.#done;
  }

  async #untilDone(): Promise<void> {
    while (!this.#isEnded) {
      try {
        await this.#pass();
        return;
      } catch (error) {
        if (this.#isEnded) return;
        this.#environment.logger.warn('resealing_waits', { recordsLeft: this.#recordsLeft }, error);
        this.#pause = new Pause(this.#environment.clock, RETRY_MS);
        await this.#pause.over;
      }
    }
  }

  async #pass(): Promise<void> {
    this.#recordsLeft = this.#level.totals.records;
    await this.#note(this.#toReseal.before);
    await this.#rewriteAll<RecordKey>(
      (tables, after) => unlike(tables.asTheyLie.records.entries({ after }), this.#seal, () => this.#looked()),
      (tables, key) => this.#rewriteRecord(tables, key),
    );
    // Digests in keys are found by these rows, so each is put anew whatever its own form is.
    await this.#rewriteAll<RecordKey>(
      (tables, after) => tables.asTheyLie.conversationsOf.entries({ after }),
      rewriteConversations,
    );
    await this.#removeLeftOver();
    if (this.#isEnded) return;
    await this.#rewriteFiles();
    if (this.#isEnded) return;
    await this.#level.write({
      decide: (changes) => changes.rewrite((tables) => writeForms(tables, this.#seal, [this.#seal.form])),
    });
    this.#seal.expect([]);
    this.#recordsLeft = 0;
    await this.#note([]);
    this.#environment.logger.info('resealing_done', { rewritten: this.#rewritten, unreadable: this.#unreadable });
  }

  #rewriteRecord(tables: Tables, key: RecordKey): void {
    const bytes = tables.records.get(key);
    if (bytes === undefined) return;
    if (bytes.length === 0) this.#unreadable++;
    else {
      tables.records.put(key, bytes);
      this.#rewritten++;
    }
  }

  /** Entries whose record has no row of its own that tells of them. */
  #removeLeftOver(): Promise<void> {
    return this.#rewriteAll<ConversationKey>(
      (tables, after) => this.#leftOver(tables, after),
      (tables, key) => tables.byConversation.remove(key),
    );
  }

  async *#leftOver(tables: Tables, after: ConversationKey | undefined) {
    for await (const key of tables.byConversation.keys({ after }))
      if (!this.#seal.isBlind(key[2])) yield { key, value: NO_BYTES };
  }

  /** No file holds what was overwritten or removed. Part by part: who closes the store waits for one. */
  async #rewriteFiles(): Promise<void> {
    for (const part of await this.#level.read(partsOfContents)) {
      if (this.#isEnded) return;
      await this.#level.read((tables) => tables.rewrite([part]));
    }
  }

  /** In batches, each from where the last one has ended: what a batch writes waits for the disk, and no iterator does. */
  async #rewriteAll<Key extends RecordKey | ConversationKey>(
    rows: (tables: Tables, after: Key | undefined) => AsyncIterable<{ readonly key: Key; readonly value: Uint8Array }>,
    rewrite: (tables: Tables, key: Key) => void,
  ): Promise<void> {
    let after: Key | undefined;
    while (!this.#isEnded) {
      const keys: Key[] = [];
      let bytes = 0;
      await this.#level.read(async (tables) => {
        for await (const { key, value } of rows(tables, after)) {
          keys.push(key);
          bytes += value.length;
          if (keys.length >= BATCH_ROWS || bytes >= BATCH_BYTES || this.#isEnded) return;
        }
      });
      if (keys.length === 0 || this.#isEnded) return;
      await this.#level.write({
        decide: (changes) =>
          changes.rewrite((tables) => {
            for (const key of keys) rewrite(tables, key);
          }),
      });
      after = keys.at(-1);
    }
  }

  #looked(): void {
    this.#recordsLeft = Math.max(0, this.#recordsLeft - 1);
    const nowMs = this.#environment.clock.monotonic();
    if (nowMs - this.#toldMs < TELL_EVERY_MS) return;
    this.#toldMs = nowMs;
    this.#environment.logger.info('resealing', { recordsLeft: this.#recordsLeft });
    void this.#note(this.#toReseal.before);
  }

  #note(before: readonly RowForm[]): Promise<void> {
    const { form: writtenWith } = this.#seal;
    return writeEncryptionNote(this.#toReseal.folder, { writtenWith, before, recordsLeft: this.#recordsLeft });
  }
}

const NO_BYTES = new Uint8Array(0);

async function* unlike(
  rows: AsyncIterable<{ readonly key: RecordKey; readonly value: Uint8Array }>,
  { form }: KeyedRowSeal,
  looked: () => void,
): AsyncIterable<{ readonly key: RecordKey; readonly value: Uint8Array }> {
  for await (const row of rows) {
    looked();
    if (formOf(row.value) !== form) yield row;
  }
}
