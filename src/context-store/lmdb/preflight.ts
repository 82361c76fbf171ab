import { open, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';

/** LMDB's magic number, 0xBEEFC0DE, as a little- and as a big-endian machine writes it. */
const MAGICS = [Buffer.from('dec0efbe', 'hex'), Buffer.from('beefc0de', 'hex')];
/** The first page's header and the start of its meta data: the magic number is in there on every word size. */
const HEADER_BYTES = 64;
/** Both files of an empty environment, several times over. */
const NEW_STORE_BYTES = 1024 * 1024;

/**
 * Refuses what would make lmdb end the process: a data file that is not its own (segmentation fault) and files
 * to be made on a full disk (bus error, because they are mapped before they have space). Throws an Error that says what.
 */
export async function refuseUnopenable(storePath: string): Promise<void> {
  const dataFile = join(storePath, 'data.mdb');
  const header = await firstBytes(dataFile, HEADER_BYTES);
  if (header.length > 0 && !MAGICS.some((magic) => header.includes(magic)))
    throw new Error(`${dataFile} is not a context store`);
  const lockFileExists = await stat(join(storePath, 'lock.mdb')).then(
    ({ size }) => size > 0,
    () => false,
  );
  if (header.length > 0 && lockFileExists) return;
  const { bavail, bsize } = await statfs(storePath);
  if (bavail * bsize < NEW_STORE_BYTES)
    throw new Error(`its disk has ${Math.floor((bavail * bsize) / 1024)} KiB free, a new store needs 1024`);
}

/**
 * Brings to the disk what a process that was killed had written and not synced: else a turn could be read, and so be
 * acknowledged, that a power failure still loses.
 */
export async function syncWritten(storePath: string): Promise<void> {
  const dataFile = await open(join(storePath, 'data.mdb'), 'r+').catch(unlessMissing);
  try {
    await dataFile?.datasync();
  } finally {
    await dataFile?.close();
  }
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}

/** Empty when there is no such file. */
async function firstBytes(path: string, length: number): Promise<Buffer> {
  try {
    const file = await open(path, 'r');
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}
