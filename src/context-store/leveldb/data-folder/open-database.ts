import type { KeyRing } from '../../../domain/encryption/key-ring.ts';
import { DiscedgeError } from '../../../domain/errors.ts';
import type { Incarnation, NodeId } from '../../../domain/identifiers.ts';
import type { Environment } from '../../../environment/environment.ts';
import { takeOverDeletedNote } from '../log/deleted-records.ts';
import type { DiskReserve } from '../room/disk-reserve.ts';
import { writeEncryptionNote } from '../sealing/encryption-note.ts';
import type { ToReseal } from '../sealing/resealing.ts';
import { KeyedRowSeal, type RowForm, type RowSeal, UNSEALED } from '../sealing/row-seal.ts';
import { formsFrom, readForms, writeForms } from '../sealing/sealed-forms.ts';
import { openTables, type Tables } from '../tables/tables.ts';
import { type DataFolder, inUse, reasonOf, unusable } from './data-folder.ts';
import { newIdentity, readIdentity, refuseForeign, type StoreIdentity, writeIdentity } from './store-identity.ts';
import { isLmdbFolder, removeLmdb, takeOverLmdb } from './take-over.ts';

export interface OpenedDatabase {
  readonly tables: Tables;
  readonly seal: RowSeal;
  /** Set where rows may be in another form than those that are written. */
  readonly toReseal: ToReseal | undefined;
  readonly incarnation: Incarnation;
}

/**
 * Opens the tables of a folder that is this node's, or new, which makes it this node's under a new incarnation; what an
 * earlier version kept in LMDB is taken over first. Throws `data_dir_in_use`, `encryption_key_missing`, and `data_dir_unusable` for
 * another node's folder, another format, and what is not a store at all.
 */
export async function openDatabase(
  folder: DataFolder,
  {
    nodeId,
    disk,
    encryption,
  }: { readonly nodeId: NodeId; readonly disk: DiskReserve; readonly encryption?: KeyRing | undefined },
  environment: Environment,
): Promise<OpenedDatabase> {
  let tables: Tables | undefined;
  try {
    const keyed = encryption && new KeyedRowSeal(encryption, environment.random);
    const seal = keyed ?? UNSEALED;
    tables = await openWithRoom(folder, { disk, seal });
    const isFromLmdb = await isLmdbFolder(folder.path);
    const isNew = readIdentity(tables) === undefined && !isFromLmdb;
    const forms = await settleForms(tables, { seal: keyed, isNew }, folder.path);
    if (readIdentity(tables) === undefined) {
      if (isFromLmdb) await takeOverLmdb(folder.path, { tables, nodeId }, environment);
      else await begin(tables, newIdentity(nodeId, environment));
    }
    const identity = readIdentity(tables) as StoreIdentity;
    refuseForeign(identity, { folder: folder.path, nodeId });
    if (isFromLmdb) await removeLmdb(folder.path, tables);
    await takeOverDeletedNote(tables);
    await folder.nameHolder();
    const toReseal =
      keyed && forms.length > 1 ? { seal: keyed, before: forms.slice(1), folder: folder.path } : undefined;
    if (keyed !== undefined && toReseal === undefined)
      await writeEncryptionNote(folder.path, { writtenWith: keyed.form, before: [], recordsLeft: 0 });
    return { tables, seal, toReseal, incarnation: identity.incarnation };
  } catch (error) {
    await tables?.close();
    if (isLocked(error)) throw await inUse(folder.path);
    throw error instanceof DiscedgeError ? error : unusable(folder.path, 'cannot be opened', error);
  }
}

function begin(tables: Tables, identity: StoreIdentity): Promise<void> {
  return tables.write(() => writeIdentity(tables, identity));
}

/** Before any row is read or written. Throws `encryption_key_missing`. */
async function settleForms(
  tables: Tables,
  { seal, isNew }: { readonly seal: KeyedRowSeal | undefined; readonly isNew: boolean },
  folder: string,
): Promise<readonly RowForm[]> {
  const known = readForms(tables, seal);
  const forms = formsFrom(known, { seal, isNew }, folder);
  if (seal === undefined) return forms;
  seal.expect(forms);
  if (known?.join() !== forms.join()) await tables.write(() => writeForms(tables, seal, forms));
  return forms;
}

/** On a full disk with the room that was kept for this. */
async function openWithRoom(
  { databasePath }: DataFolder,
  { disk, seal }: { readonly disk: DiskReserve; readonly seal: RowSeal },
): Promise<Tables> {
  try {
    return await openTables(databasePath, seal);
  } catch (error) {
    if (isLocked(error)) throw error;
    await disk.tryDisk().catch((reason: Error) => {
      throw new Error(`${reasonOf(error as Error)} (${reason.message})`, { cause: error });
    });
    return openTables(databasePath, seal);
  }
}

function isLocked(error: unknown): boolean {
  return ((error as Error | undefined)?.cause as { code?: unknown } | undefined)?.code === 'LEVEL_LOCKED';
}
