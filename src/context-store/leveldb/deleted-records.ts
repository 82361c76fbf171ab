import type { KeygroupId } from '../../domain/identifiers.ts';
import type { LogPosition } from './origin-log.ts';
import type { Tables } from './tables.ts';

/** Name of the note that holds them. */
const DELETED = 'deleted';
/** Of all keygroups. Of more, the earliest are remembered no longer. */
const DELETED_MAX = 10_000;

/** Own records whose session was deleted and which something outside may still hold, by keygroup and sequence. */
export class DeletedRecords {
  readonly #tables: Tables;
  #records: readonly (readonly [keygroup: string, sequence: number])[];
  #isChanged = false;

  constructor(tables: Tables) {
    this.#tables = tables;
    this.#records = JSON.parse(tables.meta.get([DELETED]) ?? '[]');
  }

  get isChanged(): boolean {
    return this.#isChanged;
  }

  of(keygroup: KeygroupId): number[] {
    return this.#records.flatMap(([of, sequence]) => (of === keygroup ? [sequence] : []));
  }

  add({ log, sequence }: LogPosition): void {
    this.#records = [...this.#records, [log.keygroup, sequence] as const].slice(-DELETED_MAX);
    this.#isChanged = true;
  }

  settle(keygroup: KeygroupId, sequences: readonly number[]): void {
    const settled = new Set(sequences);
    this.#records = this.#records.filter(([of, sequence]) => of !== keygroup || !settled.has(sequence));
    this.#isChanged = true;
  }

  /** To be called while the tables are written. */
  write(): void {
    if (this.#isChanged) this.#tables.meta.put([DELETED], JSON.stringify(this.#records));
  }
}
