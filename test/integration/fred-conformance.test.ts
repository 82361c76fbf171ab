// The FReD store against the promises of every context store, alone with its own FReD node. Damage is done as to LevelDB.
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { openFredStore } from '../../src/context-store/fred.ts';
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import type { ClusterName, NodeId } from '../../src/domain/identifiers.ts';
import { HOUR_MS, KEYGROUP } from '../../tools/turn-records.ts';
import { contextStoreSuite } from '../conformance/context-store-suite.ts';
import { damageStore } from '../support/damage-store.ts';
import { type FredNodes, startFredNodes } from '../support/fred-cluster.ts';

let nodes: FredNodes;
beforeAll(async () => {
  nodes = await startFredNodes();
});
afterAll(() => nodes.close());

contextStoreSuite('fred', {
  open: async (folder, environment, bytesMax) =>
    openFredStore(
      {
        replica: await openReplica({ folder: join(folder, 'data'), nodeId: 'node-1' as NodeId, bytesMax }, environment),
        fredHost: nodes.hosts[0] as string,
        tls: nodes.tls,
        triggerListen: '127.0.0.1:0',
        cluster: `conformance-${process.pid}` as ClusterName,
        keygroups: [KEYGROUP],
        itemMaxAgeMs: HOUR_MS,
      },
      environment,
    ),
  persistent: true,
  damage: (folder, sealed, what) => damageStore(join(folder, 'data'), sealed, what),
});
