// Whoever may knock may knock under any name. Tries to fill the log and the directory of refused nodes by doing so.
import { expect, test } from 'vitest';
import { PeerDirectory, type PeerDirectoryOptions } from '../../../src/context-store/nats/peers/peer-directory.ts';
import { NODES_MAX, type NodeAnnouncement } from '../../../src/context-store/nats/peers/peer-protocol.ts';
import type { ClusterName, Incarnation, NodeId } from '../../../src/domain/identifiers.ts';
import { RECORD_FORMAT_VERSION } from '../../../src/domain/record/record-version.ts';
import { KEYGROUP } from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

function announcement(nodeId: string, cluster: string): NodeAnnouncement {
  return {
    cluster: cluster as ClusterName,
    nodeId: nodeId as NodeId,
    incarnation: 'deadbeef' as Incarnation,
    instance: nodeId,
    recordVersion: RECORD_FORMAT_VERSION,
    keygroups: [KEYGROUP],
  };
}

test('of nodes that are refused as many are told of as a cluster may have', async () => {
  const environment = virtualEnvironment();
  const options = {
    peers: [],
    replica: { nodeId: 'e1', noted: () => undefined, logs: () => [] },
    describe: () => announcement('e1', 'blue'),
  } as unknown as PeerDirectoryOptions;
  const directory = new PeerDirectory(options, environment);
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 2 * NODES_MAX; i++) {
      const reply = await directory.answer({ kind: 'hello', node: announcement(`n${i}`, 'green'), cursors: [] });
      expect(reply.refused).toBe('other_cluster');
    }
  }
  expect(Object.keys(directory.refusedNodes)).toHaveLength(NODES_MAX);
  expect(environment.logLines.filter(({ event }) => event === 'node_refused')).toHaveLength(NODES_MAX);
});
