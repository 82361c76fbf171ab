import { DiscedgeError } from '../../domain/errors.ts';
import type { Incarnation, NodeId } from '../../domain/identifiers.ts';
import type { Environment } from '../../environment/environment.ts';
import { type DataFolder, unusable } from './data-folder.ts';
import { refuseUnopenable, syncWritten } from './preflight.ts';
import type { StoreTotals } from './session-changes.ts';
import { openTables, readRow, sessionKeyFrom, type Tables } from './tables.ts';

/** Of keys, tables and rows. A record names its own format. */
const STORE_FORMAT_VERSION = 1;

/** Written once, when the folder is new. */
interface StoreIdentity {
  readonly formatVersion: number;
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
}

/**
 * Opens the tables of a folder that is this node's, or new, which makes it this node's under a new incarnation.
 * Throws `data_dir_unusable` for another node's folder, another format, and what is not a store at all.
 */
export async function settleIdentity(
  { storePath }: DataFolder,
  { folder, nodeId }: { folder: string; nodeId: NodeId },
  environment: Environment,
): Promise<{ tables: Tables; incarnation: Incarnation }> {
  let tables: Tables | undefined;
  try {
    await refuseUnopenable(storePath);
    await syncWritten(storePath);
    tables = openTables(storePath);
    const known = tables.meta.get('identity');
    const identity = known === undefined ? await newIdentity(tables, nodeId, environment) : JSON.parse(known);
    refuseForeign(identity, { folder, nodeId });
    return { tables, incarnation: identity.incarnation };
  } catch (error) {
    await tables?.close();
    throw error instanceof DiscedgeError ? error : unusable(folder, 'cannot be opened', error);
  }
}

async function newIdentity(tables: Tables, nodeId: NodeId, environment: Environment): Promise<StoreIdentity> {
  const incarnation = Buffer.from(environment.random.bytes(4)).toString('hex') as Incarnation;
  const identity: StoreIdentity = { formatVersion: STORE_FORMAT_VERSION, nodeId, incarnation };
  await tables.write(() => void tables.meta.put('identity', JSON.stringify(identity)));
  return identity;
}

function refuseForeign(identity: StoreIdentity, { folder, nodeId }: { folder: string; nodeId: NodeId }): void {
  if (identity.formatVersion !== STORE_FORMAT_VERSION) {
    throw new DiscedgeError(
      'data_dir_unusable',
      `data folder ${folder} holds store format ${identity.formatVersion}, this version knows ${STORE_FORMAT_VERSION}; ` +
        'run the version that wrote it or choose another folder with --data-dir',
    );
  }
  if (identity.nodeId !== nodeId) {
    throw new DiscedgeError(
      'data_dir_unusable',
      `data folder ${folder} belongs to node ${identity.nodeId}, this is node ${nodeId}; ` +
        `start with --node-id ${identity.nodeId} or choose another folder with --data-dir`,
    );
  }
}

/** The sums as last written; counted anew where they are missing or damaged. */
export function readTotals(tables: Tables): StoreTotals {
  try {
    return JSON.parse(tables.meta.get('totals') ?? '');
  } catch {
    return countedTotals(tables);
  }
}

function countedTotals(tables: Tables): StoreTotals {
  let [sessions, records, bytes] = [0, 0, 0];
  for (const key of tables.sessions.getKeys()) {
    const row = readRow(tables, sessionKeyFrom(key));
    if (row === undefined) continue;
    if (!row.deleted) sessions++;
    records += row.records;
    bytes += row.bytes;
  }
  return { sessions, records, bytes };
}

/** To be called inside a transaction. */
export function writeTotals(tables: Tables, totals: StoreTotals): void {
  tables.meta.put('totals', JSON.stringify(totals));
}
