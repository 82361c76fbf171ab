import { DiscedgeError } from '../../domain/errors.ts';
import type { Incarnation, NodeId } from '../../domain/identifiers.ts';
import type { Environment } from '../../environment/environment.ts';
import { type DataFolder, inUse, reasonOf, unusable } from './data-folder.ts';
import type { DiskReserve } from './disk-reserve.ts';
import { newIdentity, readIdentity, refuseForeign, type StoreIdentity, writeIdentity } from './store-identity.ts';
import { openTables, type Tables } from './tables.ts';
import { isLmdbFolder, removeLmdb, takeOverLmdb } from './take-over.ts';

/**
 * Opens the tables of a folder that is this node's, or new, which makes it this node's under a new incarnation; what an
 * earlier version kept in LMDB is taken over first. Throws `data_dir_in_use`, and `data_dir_unusable` for another node's
 * folder, another format, and what is not a store at all.
 */
export async function openDatabase(
  folder: DataFolder,
  { nodeId, disk }: { readonly nodeId: NodeId; readonly disk: DiskReserve },
  environment: Environment,
): Promise<{ tables: Tables; incarnation: Incarnation }> {
  let tables: Tables | undefined;
  try {
    tables = await openWithRoom(folder, disk);
    const isFromLmdb = await isLmdbFolder(folder.path);
    if (readIdentity(tables) === undefined) {
      if (isFromLmdb) await takeOverLmdb(folder.path, { tables, nodeId }, environment);
      else await begin(tables, newIdentity(nodeId, environment));
    }
    const identity = readIdentity(tables) as StoreIdentity;
    refuseForeign(identity, { folder: folder.path, nodeId });
    if (isFromLmdb) await removeLmdb(folder.path, tables);
    await folder.nameHolder();
    return { tables, incarnation: identity.incarnation };
  } catch (error) {
    await tables?.close();
    if (isLocked(error)) throw await inUse(folder.path);
    throw error instanceof DiscedgeError ? error : unusable(folder.path, 'cannot be opened', error);
  }
}

function begin(tables: Tables, identity: StoreIdentity): Promise<void> {
  return tables.write(() => writeIdentity(tables, identity));
}

/** On a full disk with the room that was kept for this. */
async function openWithRoom({ databasePath }: DataFolder, disk: DiskReserve): Promise<Tables> {
  try {
    return await openTables(databasePath);
  } catch (error) {
    if (isLocked(error)) throw error;
    await disk.tryDisk().catch((reason: Error) => {
      throw new Error(`${reasonOf(error as Error)} (${reason.message})`, { cause: error });
    });
    return openTables(databasePath);
  }
}

function isLocked(error: unknown): boolean {
  return ((error as Error | undefined)?.cause as { code?: unknown } | undefined)?.code === 'LEVEL_LOCKED';
}
