// Stores behind supervised nats-servers with mutual TLS and the access rules that a node's configuration gives its peers:
// tries to find a request of the replication that the rules forbid, and lets a node of another authority knock.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import type { NatsServerProcess } from '../../src/context-store/nats/server/nats-server-process.ts';
import { natsServerConfig } from '../../src/context-store/nats/server/server-config.ts';
import { type NatsStore, openNatsStore } from '../../src/context-store/nats.ts';
import { type ClusterName, type NodeId, parseNodeId } from '../../src/domain/identifiers.ts';
import { sealRecord } from '../../src/domain/record/record-codec.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { makeCertificates, supervise, tlsOf } from '../../tools/supervised-nats.ts';
import { HOUR_MS, KEYGROUP, sealedTombstone, sealedTurn, sessionKey } from '../../tools/turn-records.ts';
import { eventually } from '../support/sharing-store-node.ts';

const programs = await natsPrograms();
const NODES = ['e1', 'e2', 'e3'] as const;
type Name = (typeof NODES)[number];
/** e2 and e3 learn of each other from e1. */
const LET_IN: Readonly<Record<Name, readonly Name[]>> = { e1: ['e2', 'e3'], e2: ['e1'], e3: ['e1'] };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-tls-'));
  await makeCertificates(join(folder, 'certs'), 'blue', NODES);
  await makeCertificates(join(folder, 'other-certs'), 'blue', ['e3']);
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe.each(programs)('$name', ({ name: programName, path: program }) => {
  test('records, back-fill and membership pass between nodes with certificates, and nobody else gets in', async () => {
    const base = join(folder, programName.replace(/\W/g, '-'));
    const servers = new Map<Name, NatsServerProcess>();
    const stores = new Map<Name, NatsStore>();
    const config = (name: Name, peers: readonly string[], storeDir = join(base, name, 'jetstream')) =>
      natsServerConfig({
        nodeId: parseNodeId(name),
        listen: { host: '127.0.0.1', port: 0 },
        storeDir,
        maxFileBytes: 100_000_000,
        tls: tlsOf(join(folder, 'certs'), 'blue', name),
        peers: peers.map(parseNodeId),
      });
    const open = async (name: Name, peers: readonly Name[], certificates = 'certs') => {
      const { certFile, keyFile, caFile } = tlsOf(join(folder, certificates), 'blue', name);
      const letIn = new Set(LET_IN[name] as readonly string[]);
      const environment = nodeEnvironment({ logLevel: 'silent', nodeId: name });
      const store = await openNatsStore(
        {
          replica: await openReplica(
            { folder: join(base, name, 'replica'), nodeId: name as string as NodeId, bytesMax: 1e9 },
            environment,
          ),
          serverUrl: servers.get(name)?.url as string,
          advertisedUrl: servers.get(name)?.url,
          tls: { certFile, keyFile, caFile },
          cluster: 'blue' as ClusterName,
          peers: peers.map((peer) => ({ nodeId: peer as string as NodeId, url: servers.get(peer)?.url as string })),
          keygroups: [KEYGROUP],
          streamMaxAgeMs: HOUR_MS * 100,
          onMember: (nodeId) => {
            if (letIn.has(nodeId)) return;
            letIn.add(nodeId);
            void servers.get(name)?.reload(config(name, [...letIn]));
          },
        },
        environment,
      );
      stores.set(name, store);
      return store;
    };
    const write = async (store: NatsStore, sealed = sealedTurn()) => {
      const { nodeId, incarnation } = store.sharing.status();
      const own = sealRecord({ ...sealed.record, origin: nodeId, incarnation });
      await store.append(own);
      return own;
    };
    const eventuallyHeld = (store: NatsStore, sessionId: string) =>
      eventually(async () => expect(await store.read(sessionKey(sessionId))).toBeDefined());
    const stateOf = (store: NatsStore, peer: Name) =>
      store.sharing.status().peers.find(({ nodeId }) => nodeId === (peer as string))?.state;
    try {
      for (const name of NODES) {
        const folderOfNode = join(base, name);
        const server = await supervise({
          program,
          folder: folderOfNode,
          config: (dir) => config(name, LET_IN[name], dir),
        });
        servers.set(name, server);
      }
      const e1 = await open('e1', []);
      // Written and deleted before anybody listens, so that there is a gap to ask about.
      await write(e1, sealedTurn({ key: sessionKey('gone') }));
      await write(e1, sealedTurn({ key: sessionKey('s1') }));
      await write(e1, sealedTombstone({ key: sessionKey('gone') }));
      const e2 = await open('e2', ['e1']);
      await eventuallyHeld(e2, 's1');
      await write(e2, sealedTurn({ key: sessionKey('s2') }));
      await eventuallyHeld(e1, 's2');
      const e3 = await open('e3', ['e1']);
      await eventuallyHeld(e3, 's1');
      await eventuallyHeld(e3, 's2');
      await eventually(() => expect(stateOf(e2, 'e3')).toBe('connected'));
      await eventually(() => expect(stateOf(e3, 'e2')).toBe('connected'));
      const last = await write(e3, sealedTurn({ key: sessionKey('s3') }));
      expect(await e3.sharing.awaitReplicated(last.hash, 60_000, new AbortController().signal)).toBeGreaterThan(0);
      await eventuallyHeld(e2, 's3');

      await e3.close();
      const stranger = await open('e3', ['e1'], 'other-certs');
      await eventually(() => {
        const status = stranger.sharing.status();
        expect(status.peers.find(({ nodeId }) => nodeId === ('e1' as string))).toMatchObject({
          state: 'unreachable',
          reason: expect.any(String),
        });
        expect(status.transport.connected).toBe(false);
      });
    } finally {
      for (const store of stores.values()) await store.close();
      for (const server of servers.values()) await server.stop();
    }
  });
});
