import type { EdgeNodeConfig } from '../config/config.ts';
import { type EncryptionNote, readEncryptionNote } from '../context-store/leveldb/sealing/encryption-note.ts';
import type { KeyRing } from '../domain/encryption/key-ring.ts';
import type { DiscedgeError } from '../domain/errors.ts';
import type { Check } from './check.ts';

/** Whether the keys are there that the data folder is encrypted with. */
export async function checkEncryption({ encryption, dataDir, store }: EdgeNodeConfig): Promise<Check> {
  const name = 'encryption';
  if (!store.keepsFiles) return { name, outcome: 'ok', found: `not needed by the ${store.name} store` };
  const note = await readEncryptionNote(dataDir);
  let ring: KeyRing | undefined;
  try {
    ring = await encryption?.keys();
  } catch (error) {
    return { name, outcome: 'missing', found: (error as DiscedgeError).message, fix: 'see --encryption-key-file' };
  }
  const missing = keysOf(note).filter((id) => ring?.keys.some((key) => key.id === id) !== true);
  if (missing.length > 0) {
    const found = `${dataDir} is encrypted with key ${missing.join(', ')}, which is not given`;
    return { name, outcome: 'missing', found, fix: 'name the file that holds it with --encryption-key-file' };
  }
  if (ring === undefined) return { name, outcome: 'ok', found: 'off: contexts lie in the clear in the data folder' };
  const form = ring.current === undefined ? 'off' : `with key ${ring.current.id}`;
  const isPending =
    note !== undefined && (note.writtenWith !== (ring.current?.id ?? 'clear') || note.before.length > 0);
  return { name, outcome: 'ok', found: isPending ? `${form}; what was written before is being brought to that` : form };
}

function keysOf(note: EncryptionNote | undefined): string[] {
  return note === undefined ? [] : [note.writtenWith, ...note.before].filter((form) => form !== 'clear');
}
