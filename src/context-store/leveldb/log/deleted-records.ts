import type { KeygroupId } from '../../../domain/identifiers.ts';
import { NOTHING, type Tables } from '../tables/tables.ts';
import type { LogPosition } from './origin-log.ts';

/** The note that earlier builds kept them in. */
const NOTE = 'deleted';

/** The first own records after a sequence whose session was deleted and which something outside may still hold, by their numbers. */
export async function readDeleted(
  tables: Tables,
  keygroup: KeygroupId,
  { after, limit }: { readonly after: number; readonly limit: number },
): Promise<number[]> {
  const sequences: number[] = [];
  for await (const [, sequence] of tables.deleted.keys({ within: [keygroup], after: [keygroup, after], limit }))
    sequences.push(sequence);
  return sequences;
}

/** Makes rows of the note that an earlier build has left, once. Throws LevelDB's errors. */
export async function takeOverDeletedNote(tables: Tables): Promise<void> {
  const note = tables.meta.get([NOTE]);
  if (note === undefined) return;
  const noted: readonly (readonly [keygroup: string, sequence: number])[] = JSON.parse(note);
  await tables.write(() => {
    for (const [keygroup, sequence] of noted) tables.deleted.put([keygroup, sequence], NOTHING);
    tables.meta.remove([NOTE]);
  });
}

/** Which of them one group of work adds, and which it settles. */
export class DeletedChanges {
  readonly #added: LogPosition[] = [];
  readonly #settled: { readonly keygroup: KeygroupId; readonly sequences: readonly number[] }[] = [];

  get isEmpty(): boolean {
    return this.#added.length + this.#settled.length === 0;
  }

  add(position: LogPosition): void {
    this.#added.push(position);
  }

  settle(keygroup: KeygroupId, sequences: readonly number[]): void {
    this.#settled.push({ keygroup, sequences });
  }

  /** To be called while the tables are written. */
  write({ deleted }: Tables): void {
    for (const { keygroup, sequences } of this.#settled)
      for (const sequence of sequences) deleted.remove([keygroup, sequence]);
    for (const { log, sequence } of this.#added) deleted.put([log.keygroup, sequence], NOTHING);
  }
}
