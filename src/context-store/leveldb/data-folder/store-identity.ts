import { DiscedgeError } from '../../../domain/errors.ts';
import type { Incarnation, NodeId } from '../../../domain/identifiers.ts';
import type { Environment } from '../../../environment/environment.ts';
import type { StoreTotals } from '../session-changes.ts';
import { readRow, sessionKeyFrom, type Tables } from '../tables/tables.ts';

/** Of keys, tables and rows; 1 was LMDB's. A record names its own format. */
const STORE_FORMAT_VERSION = 2;

/** Written once, when the store is new; a store without one is not complete yet. */
export interface StoreIdentity {
  readonly formatVersion: number;
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
}

export function readIdentity(tables: Tables): StoreIdentity | undefined {
  const text = tables.meta.get(['identity']);
  return text === undefined ? undefined : JSON.parse(text);
}

/** Of a store that nothing was ever in. */
export function newIdentity(nodeId: NodeId, { random }: Environment): StoreIdentity {
  const incarnation = Buffer.from(random.bytes(4)).toString('hex') as Incarnation;
  return { formatVersion: STORE_FORMAT_VERSION, nodeId, incarnation };
}

/** To be called while the tables are written. */
export function writeIdentity(tables: Tables, { nodeId, incarnation }: StoreIdentity): void {
  const identity: StoreIdentity = { formatVersion: STORE_FORMAT_VERSION, nodeId, incarnation };
  tables.meta.put(['identity'], JSON.stringify(identity));
}

/** Throws `data_dir_unusable` for another node's store, and for another format. */
export function refuseForeign(
  identity: StoreIdentity,
  { folder, nodeId, formatVersion = STORE_FORMAT_VERSION }: { folder: string; nodeId: NodeId; formatVersion?: number },
): void {
  if (identity.formatVersion !== formatVersion) {
    throw new DiscedgeError(
      'data_dir_unusable',
      `data folder ${folder} holds store format ${identity.formatVersion}, this version knows ${formatVersion}; ` +
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

/** The sums, and the number of the commit that wrote them. */
export interface WrittenTotals {
  readonly totals: StoreTotals;
  readonly commit: number;
}

/** As last written; counted anew where they are missing or damaged. */
export async function readTotals(tables: Tables): Promise<WrittenTotals> {
  try {
    const { commit = 0, ...totals } = JSON.parse(tables.meta.get(['totals']) ?? '');
    return { totals, commit };
  } catch {
    return { totals: await countedTotals(tables), commit: 0 };
  }
}

async function countedTotals(tables: Tables): Promise<StoreTotals> {
  let [sessions, records, bytes] = [0, 0, 0];
  for await (const key of tables.sessions.keys()) {
    const row = await readRow(tables, sessionKeyFrom(key));
    if (row === undefined) continue;
    if (!row.deleted) sessions++;
    records += row.records;
    bytes += row.bytes;
  }
  return { sessions, records, bytes };
}

/** To be called while the tables are written. */
export function writeTotals(tables: Tables, { totals, commit }: WrittenTotals): void {
  tables.meta.put(['totals'], JSON.stringify({ ...totals, commit }));
}
