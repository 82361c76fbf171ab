import { join } from 'node:path';
import { openTables, recordKey, tableKey } from '../../src/context-store/leveldb/tables/tables.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import { sessionKeyOf } from '../../src/domain/record/turn-record.ts';
import type { Damage } from '../conformance/context-store-suite.ts';

const FLIPPED_AT = 20;

/** Damages a record, or the row of its session, in the tables of a closed replica. */
export async function damageStore(folder: string, sealed: SealedRecord, what: Damage): Promise<void> {
  const tables = await openTables(join(folder, 'leveldb'));
  const [record, row] = [recordKey(sealed), tableKey(sessionKeyOf(sealed.record))];
  const { records } = tables.asTheyLie;
  const change: Record<Damage, () => void> = {
    'record flipped': () => void records.put(record, flipped(records.get(record))),
    'record lost': () => void tables.records.remove(record),
    'row flipped': () => void tables.sessions.put(row, flipped(tables.sessions.get(row))),
    'row lost': () => void tables.sessions.remove(row),
  };
  await tables.write(change[what]);
  await tables.close();
}

function flipped(bytes: Uint8Array | undefined): Uint8Array {
  const copy = Uint8Array.from(bytes ?? []);
  const at = FLIPPED_AT % copy.length;
  copy[at] = (copy[at] as number) ^ 0x10;
  return copy;
}
