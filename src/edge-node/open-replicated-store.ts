import { hostname } from 'node:os';
import { join } from 'node:path';
import { openReplica } from '../context-store/lmdb/replica.ts';
import { superviseNatsServer } from '../context-store/nats/nats-server-process.ts';
import { findNatsServer, type NatsServerVersion } from '../context-store/nats/nats-server-program.ts';
import { hubServerConfig, leafServerConfig, natsServerConfig } from '../context-store/nats/server-config.ts';
import { type NatsStore, openNatsStore } from '../context-store/nats.ts';
import type { NodeId } from '../domain/identifiers.ts';
import type { Environment } from '../environment/environment.ts';
import { checkNodeCertificate } from './certificates/check.ts';
import type { EdgeNodeConfig } from './config.ts';
import { isWildcard } from './listen-address.ts';
import type { OpenedStore, ServedNode } from './open-context-store.ts';
import { natsUrl, type ReplicationConfig, type StartedServer } from './replication-config.ts';

type ReplicatedConfig = EdgeNodeConfig & { readonly replication: ReplicationConfig };

/** A server keeps records that long beyond the longest life of a session: clocks differ, and late is not lost. */
const STREAM_GRACE_MS = 3_600_000;

/**
 * Takes the data folder and starts this node's nats-server, unless one that runs is to be used; sharing begins with
 * `serve`. Throws what the replica, the certificates and the server's first start throw, and then leaves nothing open.
 */
export async function openReplicatedStore(config: ReplicatedConfig, environment: Environment): Promise<OpenedStore> {
  const { nodeId, dataDir: folder, storeBytesMax: bytesMax, replication } = config;
  const { cluster, certificates } = replication;
  if (certificates !== undefined)
    await checkNodeCertificate(certificates, { nodeId, cluster }, environment.clock.now());
  const replica = await openReplica({ folder, nodeId, bytesMax }, environment);
  const server = await startServer(config, environment).catch(async (error) => {
    await replica.close();
    throw error;
  });
  let store: NatsStore | undefined;
  return {
    incarnation: replica.incarnation,
    async serve({ keygroup, model, httpUrl, load }: ServedNode) {
      store = await openNatsStore(
        {
          replica,
          serverUrl: server.url,
          advertisedUrl: server.advertisedUrl,
          tls: certificates,
          cluster,
          peers: replication.peers,
          keygroups: [keygroup],
          streamMaxAgeMs: config.ttlSecondsMax * 1000 + STREAM_GRACE_MS,
          describe: () => ({ httpUrl: httpUrl(), model, location: replication.location, load: load() }),
          hub: replication.hub?.nodeId,
          excluded: replication.excluded,
          onMember: server.letIn,
          restartServer: server.restart,
        },
        environment,
      );
      return store;
    },
    async close() {
      await (store ?? replica).close();
      await server.stop();
    },
  };
}

interface OwnServer {
  readonly url: string;
  readonly advertisedUrl: string;
  /** A server with access rules does not know a node that has just been learned of. */
  readonly letIn: (nodeId: NodeId) => void;
  /** `undefined` where somebody else runs it. */
  readonly restart: (() => void) | undefined;
  readonly stop: () => Promise<void>;
}

async function startServer(config: ReplicatedConfig, environment: Environment): Promise<OwnServer> {
  const { server, advertisedServer, certificates, peers } = config.replication;
  if ('url' in server) {
    const advertisedUrl = advertisedServer === undefined ? server.url : natsUrl(advertisedServer);
    // Whoever runs that server decides whom it lets in.
    return { url: server.url, advertisedUrl, letIn: () => {}, restart: undefined, stop: async () => {} };
  }
  const { version, path: program } = await findNatsServer(server.program);
  const folder = join(config.dataDir, 'nats');
  const storeDir = join(folder, 'jetstream');
  const members = new Set(peers.map((peer) => peer.nodeId));
  const text = () => serverConfig(config, server, { storeDir, members: [...members], version });
  const running = await superviseNatsServer({ program, folder, storeDir, config: text() }, environment);
  const host = isWildcard(server.listen) ? hostname() : server.listen.host;
  let isChanging = false;
  const failed = (error: unknown) => environment.log.error('nats_server_change_failed', {}, error);
  return {
    url: running.url,
    advertisedUrl: natsUrl(advertisedServer ?? { host, port: running.port }),
    letIn(member) {
      if (certificates === undefined || members.has(member)) return;
      members.add(member);
      if (isChanging) return;
      isChanging = true;
      // All that a node remembers come at once.
      queueMicrotask(() => {
        isChanging = false;
        // Links to a hub keep the permissions they were made with.
        const change = server.hubListen === undefined ? running.reload(text()) : running.restart(text());
        change.catch(failed);
      });
    },
    restart: () => void running.restart(text()).catch(failed),
    stop: () => running.stop(),
  };
}

function serverConfig(
  { nodeId, replication: { cluster, certificates, hub, excluded } }: ReplicatedConfig,
  { listen, bytesMax: maxFileBytes, hubListen }: StartedServer,
  made: { readonly storeDir: string; readonly members: readonly NodeId[]; readonly version: NatsServerVersion },
): string {
  const { storeDir, members: peers, version: serverVersion } = made;
  const tls = certificates && { ...certificates, cluster };
  const settings = { nodeId, listen, storeDir, maxFileBytes, tls, peers, excluded };
  if (hub !== undefined) return leafServerConfig(settings, { address: hub.address, serverVersion });
  if (hubListen !== undefined) return hubServerConfig(settings, { address: hubListen, serverVersion });
  return natsServerConfig(settings);
}
