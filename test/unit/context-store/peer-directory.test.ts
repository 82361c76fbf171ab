// Whoever may knock may knock under any name, and pods have another one each time. Tries to fill the log, the directory of
// nodes and that of refused ones by doing so, and to have a node learned at one end only.
import { expect, test } from 'vitest';
import { PeerDirectory, type PeerDirectoryOptions } from '../../../src/context-store/nats/peers/peer-directory.ts';
import { NODES_MAX, type NodeAnnouncement } from '../../../src/context-store/replication/peers/peer-protocol.ts';
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

/** A directory in which no peer is ever reached, and what it remembers. */
function lonelyDirectory(
  environment = virtualEnvironment(),
  noted = new Map<string, string>(),
  signers: object | undefined = undefined,
) {
  const departed: string[] = [];
  const home = { join() {}, async leave() {}, isConnected: false, bytes: { in: 0, out: 0 } };
  const directory = new PeerDirectory(
    {
      peers: [],
      home,
      keygroups: [KEYGROUP],
      cluster: 'blue',
      hub: 'hub',
      replica: {
        nodeId: 'e1',
        incarnation: '00000001',
        noted: (name: string) => noted.get(name),
        note: async (name: string, text: string) => void noted.set(name, text),
        logs: () => [],
        cursor: () => ({ sequence: 0, streamSequence: 0 }),
      },
      applier: { held: { versionNeededFor: () => undefined }, refusedBy: () => ({}), signers },
      acks: { note() {}, forget() {} },
      holders: { note() {}, noteLogs() {}, forget() {} },
      describe: () => announcement('e1', 'blue'),
      onMember() {},
      onDeparted: (nodeId: string) => departed.push(nodeId),
    } as unknown as PeerDirectoryOptions,
    environment,
  );
  directory.start();
  const greet = async (nodeId: string) =>
    directory.answer({
      kind: 'hello',
      node: { ...announcement(nodeId, 'blue'), hub: 'hub' as NodeId },
      cursors: [],
    });
  return { directory, departed, environment, noted, greet };
}

const HOUR_MS = 3_600_000;

test('a node beyond the limit is told so, and taken once another has been away for an hour', async () => {
  const { directory, departed, environment, greet } = lonelyDirectory();
  for (let i = 0; directory.peers.statuses.length < NODES_MAX - 1; i++)
    expect((await greet(`pod-${i}`)).refused).toBeUndefined();
  expect(await greet('late')).toMatchObject({ refused: 'cluster_full', members: [], logs: [] });
  expect(directory.refusedNodes).toEqual({ late: 'cluster_full' });
  expect(environment.logLines.filter(({ event }) => event === 'node_refused')).toHaveLength(1);
  await environment.advance(HOUR_MS);
  const reply = await greet('late');
  expect(reply.refused).toBeUndefined();
  // What has departed is not handed on, or nodes would go on telling each other of it.
  expect(reply.members.map(({ nodeId }) => nodeId)).toEqual(['late']);
  expect(directory.refusedNodes).toEqual({});
  expect(departed).toHaveLength(1);
  expect(directory.peers.statuses.map(({ nodeId }) => nodeId)).toContain('late');
  await directory.close();
});

test('nodes that nothing proves make room at once for one with a certificate, and for none like themselves', async () => {
  const proved = new Set<string>(['real']);
  const signers = {
    learn: () => false,
    isProved: (nodeId: string) => proved.has(nodeId),
    mayTakePart: () => true,
    mayServe: () => true,
  };
  const { directory, departed, greet } = lonelyDirectory(undefined, undefined, signers);
  for (let i = 0; directory.peers.statuses.length < NODES_MAX - 1; i++) await greet(`ghost-${i}`);
  expect(await greet('ghost')).toMatchObject({ refused: 'cluster_full' });
  expect((await greet('real')).refused).toBeUndefined();
  expect(directory.peers.statuses.map(({ nodeId }) => nodeId)).toContain('real');
  expect(departed).toHaveLength(1);
  await directory.close();
});

test('a node is forgotten after a week away, whatever the wall clock says; one that is configured is not', async () => {
  const { directory, departed, environment, noted, greet } = lonelyDirectory();
  await greet('pod');
  await environment.advance(6 * 24 * HOUR_MS);
  expect(departed).toEqual([]);
  await directory.close();
  const again = lonelyDirectory(environment, noted);
  expect(again.directory.peers.statuses.map(({ nodeId }) => nodeId).sort()).toEqual(['hub', 'pod']);
  await environment.advance(24 * HOUR_MS);
  expect(again.departed).toEqual(['pod']);
  expect(again.directory.peers.statuses.map(({ nodeId }) => nodeId)).toEqual(['hub']);
  expect(JSON.parse(noted.get('members') ?? '').map(({ nodeId }: { nodeId: string }) => nodeId)).toEqual(['hub']);
  await again.directory.close();
});
