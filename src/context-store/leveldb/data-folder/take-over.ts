import { open, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from 'lmdb';
import { DiscedgeError } from '../../../domain/errors.ts';
import type { NodeId } from '../../../domain/identifiers.ts';
import type { Environment } from '../../../environment/environment.ts';
import type { KeyParts } from '../tables/key-codec.ts';
import type { Table } from '../tables/level-database.ts';
import type { Tables } from '../tables/tables.ts';
import { refuseLivingHolder } from './data-folder.ts';
import { newIdentity, refuseForeign, type StoreIdentity, writeIdentity } from './store-identity.ts';

/** What LMDB's store called its format. */
const LMDB_FORMAT_VERSION = 1;
/** LMDB's magic number, 0xBEEFC0DE, as a little- and as a big-endian machine writes it. */
const MAGICS = [Buffer.from('dec0efbe', 'hex'), Buffer.from('beefc0de', 'hex')];
const HEADER_BYTES = 64;
/** In one synced batch: a few milliseconds, and little memory. */
const BATCH_ENTRIES = 1_000;
const BATCH_BYTES = 4 * 1024 * 1024;
/** Which file was taken over, as its size and time: it may be removed, and no other. */
const TAKEN_OVER = 'takenOver';

const IDENTITY = 'identity';

/** How LMDB's tables kept their values. */
const ENCODINGS = {
  meta: 'string',
  records: 'binary',
  sessions: 'binary',
  byExpiry: 'binary',
  byUse: 'binary',
  log: 'ordered-binary',
  positions: 'ordered-binary',
  cursors: 'string',
  byConversation: 'binary',
  conversationsOf: 'ordered-binary',
} as const;
type TableName = keyof typeof ENCODINGS;

/** Whether versions up to 0.1.0 kept a store here, with LMDB. */
export async function isLmdbFolder(folder: string): Promise<boolean> {
  return (await fileMark(folder)) !== undefined;
}

/**
 * Copies LMDB's tables, which are not changed, into empty ones of the same names. The identity comes last: without one the
 * tables are not complete, and what an earlier try has left there is removed first. Throws `data_dir_in_use` and `data_dir_unusable`.
 */
export async function takeOverLmdb(
  folder: string,
  { tables, nodeId }: { readonly tables: Tables; readonly nodeId: NodeId },
  environment: Environment,
): Promise<void> {
  const mark = (await fileMark(folder)) as string;
  // An earlier version does not know LevelDB's lock.
  await refuseLivingHolder(folder);
  await refuseOtherFile(folder);
  const { open: openLmdb } = await lmdb(folder);
  const source = openLmdb({ path: storePath(folder), readOnly: true });
  // Opened for reading, a table that is not there is undefined, whatever its type says.
  const tableOf = <Value>(name: TableName): Database<Value, string | (string | number)[]> | undefined =>
    source.openDB(name, { encoding: ENCODINGS[name] });
  try {
    const known = tableOf<string>('meta')?.get(IDENTITY);
    const identity: StoreIdentity =
      known === undefined
        ? { ...newIdentity(nodeId, environment), formatVersion: LMDB_FORMAT_VERSION }
        : JSON.parse(known);
    refuseForeign(identity, { folder, nodeId, formatVersion: LMDB_FORMAT_VERSION });
    environment.logger.info('take_over_begun', { from: 'lmdb' });
    for (const name of Object.keys(ENCODINGS) as TableName[]) {
      const table = tables[name] as Table<KeyParts, unknown>;
      await inBatches(tables, table.keys(), (key) => table.remove(key));
      await inBatches(tables, tableOf<unknown>(name)?.getRange() ?? [], ({ key, value }) => {
        if (key !== IDENTITY) table.put(typeof key === 'string' ? [key] : key, value);
      });
    }
    await tables.write(() => {
      tables.meta.put([TAKEN_OVER], mark);
      writeIdentity(tables, identity);
    });
    environment.logger.info('take_over_done', { from: 'lmdb' });
  } finally {
    await source.close();
  }
}

/** Removes the files that were taken over. Throws `data_dir_unusable` where others have come since. */
export async function removeLmdb(folder: string, tables: Tables): Promise<void> {
  if (tables.meta.get([TAKEN_OVER]) !== (await fileMark(folder)))
    throw new DiscedgeError(
      'data_dir_unusable',
      `data folder ${folder} holds a context store in leveldb/ and another one, of an earlier version, in store/; move one of them away`,
    );
  await rm(join(storePath(folder), 'lock.mdb'), { force: true });
  await rm(dataPath(folder));
  await rmdir(storePath(folder)).catch(() => {});
}

async function inBatches<Entry>(
  tables: Tables,
  entries: AsyncIterable<Entry> | Iterable<Entry>,
  change: (entry: Entry) => void,
): Promise<void> {
  const batch: Entry[] = [];
  let bytes = 0;
  const write = async () => {
    await tables.write(() => batch.splice(0).forEach(change));
    bytes = 0;
  };
  for await (const entry of entries) {
    bytes += bytesOf(entry);
    if (batch.push(entry) === BATCH_ENTRIES || bytes >= BATCH_BYTES) await write();
  }
  if (batch.length > 0) await write();
}

/** Of what may be large: a record. */
function bytesOf(entry: unknown): number {
  const { value } = entry as { readonly value?: unknown };
  return value instanceof Uint8Array ? value.length : 0;
}

function storePath(folder: string): string {
  return join(folder, 'store');
}

function dataPath(folder: string): string {
  return join(storePath(folder), 'data.mdb');
}

async function fileMark(folder: string): Promise<string | undefined> {
  try {
    const { size, mtimeMs } = await stat(dataPath(folder));
    return `${size} ${mtimeMs}`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** LMDB would end the process on a file that is not its own. */
async function refuseOtherFile(folder: string): Promise<void> {
  const file = await open(dataPath(folder), 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
    const header = buffer.subarray(0, bytesRead);
    if (MAGICS.some((magic) => header.includes(magic))) return;
  } finally {
    await file.close();
  }
  throw new Error(`${dataPath(folder)} is not a context store`);
}

async function lmdb(folder: string): Promise<typeof import('lmdb')> {
  try {
    return await import('lmdb');
  } catch (error) {
    throw new DiscedgeError(
      'data_dir_unusable',
      `data folder ${folder} was written by an earlier version, with LMDB; to take it over, install that beside discedge ` +
        'for one start: npm install --no-save lmdb@3.5.6',
      { cause: error },
    );
  }
}
