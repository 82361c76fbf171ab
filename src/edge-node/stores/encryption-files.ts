import { readFile } from 'node:fs/promises';
import { type EncryptionNote, readEncryptionNote } from '../../context-store/leveldb/sealing/encryption-note.ts';
import { writeWhole } from '../../context-store/whole-file.ts';
import { type KeyRing, newEncryptionKey, readKeyRing } from '../../domain/encryption/key-ring.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import type { Random } from '../../environment/environment.ts';

/** Whoever reads a key file reads every context. */
export const KEY_FILE_MODE = 0o600;

/** Puts a new key above those of a file, which is there whole before and after. Throws `config_invalid`. */
export async function rotateKeyFile(file: string, random: Pick<Random, 'bytes'>): Promise<KeyRing> {
  const former = await readFile(file, 'utf8').catch((error: Error) => {
    throw new DiscedgeError('config_invalid', `the keys cannot be read: ${error.message}`);
  });
  const content = newEncryptionKey(random) + former;
  const ring = readKeyRing(content);
  if ('problem' in ring) throw new DiscedgeError('config_invalid', `${file} with a new key ${ring.problem}`);
  await writeWhole(file, content, KEY_FILE_MODE);
  return ring;
}

/** What a data folder tells of its encryption; `undefined` where it has none. */
export function encryptionOf(dataDir: string): Promise<EncryptionNote | undefined> {
  return readEncryptionNote(dataDir);
}
