// The NATS store against the promises of every context store, alone with its own server. Damage is done as to LMDB.
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { openReplica } from '../../src/context-store/lmdb/replica.ts';
import { openTables, recordKey, tableKey } from '../../src/context-store/lmdb/tables.ts';
import { openNatsStore } from '../../src/context-store/nats.ts';
import type { ClusterName, NodeId } from '../../src/domain/identifiers.ts';
import { sessionKeyOf } from '../../src/domain/turn-record.ts';
import { contextStoreSuite, type Damage } from '../conformance/context-store-suite.ts';
import { startNatsServer } from '../support/real-servers/nats-server.ts';
import type { RunningServer } from '../support/real-servers/running-server.ts';
import { HOUR_MS, KEYGROUP } from '../support/turn-records.ts';

let server: RunningServer;
beforeAll(async () => {
  server = await startNatsServer();
});
afterAll(async () => {
  await server.stop();
});

contextStoreSuite('nats', {
  open: async (folder, environment, bytesMax) =>
    openNatsStore(
      {
        replica: await openReplica({ folder: join(folder, 'data'), nodeId: 'node-1' as NodeId, bytesMax }, environment),
        serverUrl: server.url,
        cluster: 'test' as ClusterName,
        peers: [],
        keygroups: [KEYGROUP],
        streamMaxAgeMs: HOUR_MS,
      },
      environment,
    ),
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
