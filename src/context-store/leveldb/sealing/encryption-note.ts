import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeWhole } from '../../whole-file.ts';
import { IN_THE_CLEAR, type RowForm } from './row-seal.ts';

/** What a data folder tells people and `doctor` of its encryption, whether or not a node has it open. The database knows better. */
export interface EncryptionNote {
  /** Id of the key that is written with, or `clear`. */
  readonly writtenWith: RowForm;
  /** What rows may have been written with before. */
  readonly before: readonly RowForm[];
  /** Not yet looked at. */
  readonly recordsLeft: number;
}

/** A full disk must not keep a node from starting. */
export async function writeEncryptionNote(folder: string, note: EncryptionNote): Promise<void> {
  const isPlain = note.writtenWith === IN_THE_CLEAR && note.before.length === 0;
  const written = isPlain
    ? rm(notePath(folder), { force: true })
    : writeWhole(notePath(folder), `${JSON.stringify(note, null, 2)}\n`, 0o600);
  await written.catch(() => {});
}

/** `undefined` where nothing is or was encrypted, or the note cannot be read. */
export async function readEncryptionNote(folder: string): Promise<EncryptionNote | undefined> {
  try {
    return JSON.parse(await readFile(notePath(folder), 'utf8'));
  } catch {
    return undefined;
  }
}

function notePath(folder: string): string {
  return join(folder, 'encryption.json');
}
