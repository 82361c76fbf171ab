// The LMDB store against the promises of every context store. Damage is done to the closed store's own tables.
import { join } from 'node:path';
import { openTables, recordKey, tableKey } from '../../src/context-store/lmdb/tables.ts';
import { openLmdbStore } from '../../src/context-store/lmdb.ts';
import type { NodeId } from '../../src/domain/identifiers.ts';
import { sessionKeyOf } from '../../src/domain/turn-record.ts';
import { contextStoreSuite, type Damage } from './context-store-suite.ts';

contextStoreSuite('lmdb', {
  open: (folder, environment, bytesMax) =>
    openLmdbStore({ folder: join(folder, 'data'), nodeId: 'node-1' as NodeId, bytesMax }, environment),
  persistent: true,
  async damage(folder, sealed, what) {
    const tables = openTables(join(folder, 'data', 'store'));
    const flipped = (bytes: Uint8Array | undefined) => {
      const copy = Uint8Array.from(bytes ?? []);
      copy[20 % copy.length] = (copy[20 % copy.length] as number) ^ 0x10;
      return copy;
    };
    const [record, row] = [recordKey(sealed), tableKey(sessionKeyOf(sealed.record))];
    const change: Record<Damage, () => void> = {
      'record flipped': () => void tables.records.put(record, flipped(tables.records.get(record))),
      'record lost': () => void tables.records.remove(record),
      'row flipped': () => void tables.sessions.put(row, flipped(tables.sessions.get(row))),
      'row lost': () => void tables.sessions.remove(row),
    };
    await tables.write(change[what]);
    await tables.close();
  },
});
