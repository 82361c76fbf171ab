// The NATS store against the promises of every context store, alone with its own server. Damage is done as to LevelDB.
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import { openNatsStore } from '../../src/context-store/nats.ts';
import type { ClusterName, NodeId } from '../../src/domain/identifiers.ts';
import { startNatsServer } from '../../tools/real-servers/nats-server.ts';
import type { RunningServer } from '../../tools/real-servers/running-server.ts';
import { HOUR_MS, KEYGROUP } from '../../tools/turn-records.ts';
import { contextStoreSuite } from '../conformance/context-store-suite.ts';
import { damageStore } from '../support/damage-store.ts';

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
  damage: (folder, sealed, what) => damageStore(join(folder, 'data'), sealed, what),
});
