import { join } from 'node:path';
import { checkNodeCertificate } from '../../certificates/node-certificate.ts';
import { openSigning } from '../../certificates/record-signing.ts';
import type { EdgeNodeConfig } from '../../config/config.ts';
import { hostForOthers } from '../../config/listen-address.ts';
import { environmentWith } from '../../config/process-environment.ts';
import {
  dialledHost,
  type NatsReplicationConfig,
  natsUrl,
  type StartedServer,
} from '../../config/replication-config.ts';
import { openReplica } from '../../context-store/leveldb/replica.ts';
import { LimitedMembers } from '../../context-store/nats/server/limited-members.ts';
import { superviseNatsServer } from '../../context-store/nats/server/nats-server-process.ts';
import { findNatsServer, type NatsServerVersion } from '../../context-store/nats/server/nats-server-program.ts';
import {
  hubServerConfig,
  leafServerConfig,
  natsServerConfig,
  STORE_KEY_VARIABLE,
} from '../../context-store/nats/server/server-config.ts';
import { removeFormerStreams, streamsFolder, streamsKey } from '../../context-store/nats/server/streams-folder.ts';
import { openNatsStore } from '../../context-store/nats.ts';
import { NODES_MAX } from '../../context-store/replication/peers/peer-protocol.ts';
import type { LimitedNode } from '../../context-store/replication/peers/reading-rights.ts';
import type { EncryptionKey } from '../../domain/encryption/key-ring.ts';
import type { KeygroupId, NodeId } from '../../domain/identifiers.ts';
import { Lifetimes } from '../../domain/time/lifetimes.ts';
import type { Environment } from '../../environment/environment.ts';
import { exposeNodeCertificate } from '../metrics/certificate-metric.ts';
import { exposeResealing } from '../metrics/encryption-metrics.ts';
import { type OpenedStore, replicaToShare, sharedOf } from './opened-store.ts';

type ReplicatedConfig = Omit<EdgeNodeConfig, 'replication'> & { readonly replication: NatsReplicationConfig };

/**
 * Takes the data folder and starts this node's nats-server, unless one that runs is to be used; sharing begins with
 * `serve`. Throws what the replica, the certificates and the server's first start throw, and then leaves nothing open.
 */
export async function openReplicatedStore(config: ReplicatedConfig, environment: Environment): Promise<OpenedStore> {
  const { nodeId, dataDir: folder, storeBytesMax: bytesMax, storeWhenFull: whenFull, replication } = config;
  const { cluster, certificates } = replication;
  const named = { nodeId, cluster, host: dialledHost(replication) };
  const usable = certificates && (await checkNodeCertificate(certificates, named, environment.clock.now()));
  if (usable !== undefined) exposeNodeCertificate(usable.notAfterMs, environment.metrics);
  const reads = usable?.reads;
  const encryption = await config.encryption?.keys();
  const replica = await openReplica({ folder, nodeId, bytesMax, whenFull, encryption }, environment);
  exposeResealing(replica, environment.metrics);
  const started = async () => ({
    signing: await signingOf(),
    server: await startServer(config, { key: encryption?.current, reads }, environment),
  });
  const { signing, server } = await started().catch(async (error) => {
    await replica.close();
    throw error;
  });
  async function signingOf() {
    if (certificates === undefined) return undefined;
    const { requiresSignatures } = replication;
    const recordLifeMs = Lifetimes.carriedMs(config.ttlSecondsMax * 1000);
    return openSigning(certificates, { nodeId, cluster, requiresSignatures, recordLifeMs }, replica, environment);
  }
  const opened = replicaToShare(replica, (node) =>
    openNatsStore(
      {
        replica,
        serverUrl: server.url,
        advertisedUrl: server.advertisedUrl,
        tls: certificates,
        signing,
        cluster,
        peers: replication.peers,
        ...sharedOf(node, replication.location),
        reads,
        streamMaxAgeMs: Lifetimes.carriedMs(config.ttlSecondsMax * 1000),
        hub: replication.hub?.nodeId,
        excluded: replication.excluded,
        onMember: server.letIn,
        onDeparted: server.forget,
        restartServer: server.restart,
      },
      environment,
    ),
  );
  return {
    ...opened,
    async close() {
      await opened.close();
      await server.stop();
    },
  };
}

/** Least time between two changes of a server's rules. */
const RELOAD_EVERY_MS = 1_000;
/** A restarted hub takes seconds to have all its links back. */
const HUB_RESTART_EVERY_MS = 10_000;

interface OwnServer {
  readonly url: string;
  readonly advertisedUrl: string;
  /** A server with access rules does not know a node that has just been learned of. */
  readonly letIn: (nodeId: NodeId, limits: readonly LimitedNode[]) => void;
  /** Makes room for another one; at its next change the server knows the node no more. */
  readonly forget: (nodeId: NodeId) => void;
  /** `undefined` where somebody else runs it. */
  readonly restart: (() => void) | undefined;
  readonly stop: () => Promise<void>;
}

async function startServer(
  config: ReplicatedConfig,
  { key, reads }: { readonly key: EncryptionKey | undefined; readonly reads: readonly KeygroupId[] | undefined },
  environment: Environment,
): Promise<OwnServer> {
  const { server, advertisedServer, certificates, peers } = config.replication;
  if ('url' in server) {
    if (key !== undefined)
      environment.logger.warn('nats_server_not_ours', {
        advice: 'whether it encrypts its streams, its own configuration says',
      });
    const advertisedUrl = advertisedServer === undefined ? server.url : natsUrl(advertisedServer);
    // Whoever runs that server decides whom it lets in.
    return {
      url: server.url,
      advertisedUrl,
      letIn: () => {},
      forget: () => {},
      restart: undefined,
      stop: async () => {},
    };
  }
  const { version, path: program } = await findNatsServer(server.program);
  const folder = join(config.dataDir, 'nats');
  const storeName = streamsFolder(key);
  const storeDir = join(folder, storeName);
  const members = new Set(peers.map((peer) => peer.nodeId));
  const limited = new LimitedMembers();
  const text = () =>
    serverConfig(config, server, {
      storeDir,
      isEncrypted: key !== undefined,
      members: [...members],
      limited: limited.all,
      reads,
      version,
    });
  const env = key && environmentWith({ [STORE_KEY_VARIABLE]: streamsKey(key) });
  const running = await superviseNatsServer({ program, folder, storeDir, config: text(), env }, environment);
  await removeFormerStreams(folder, storeName);
  let changedMs = Number.NEGATIVE_INFINITY;
  let isChanging = false;
  let cancelChange = () => {};
  const changeEveryMs = server.hubListen === undefined ? RELOAD_EVERY_MS : HUB_RESTART_EVERY_MS;
  const { clock } = environment;
  const failed = (error: unknown) => environment.logger.error('nats_server_change_failed', {}, error);
  return {
    url: running.url,
    advertisedUrl: natsUrl(advertisedServer ?? { host: hostForOthers(server.listen), port: running.port }),
    letIn(member, limits) {
      if (certificates === undefined) return;
      const hasLimits = limited.note(member, limits);
      if (!hasLimits && (members.has(member) || members.size >= NODES_MAX)) return;
      members.add(member);
      if (isChanging) return;
      isChanging = true;
      // All that a node remembers come at once; whoever knocks again and again must not keep the server from its work.
      cancelChange = clock.after(Math.max(0, changedMs + changeEveryMs - clock.monotonic()), () => {
        isChanging = false;
        changedMs = clock.monotonic();
        // Links to a hub keep the permissions they were made with.
        const change = server.hubListen === undefined ? running.reload(text()) : running.restart(text());
        change.catch(failed);
      });
    },
    forget(member) {
      members.delete(member);
      limited.forget(member);
    },
    restart: () => void running.restart(text()).catch(failed),
    stop() {
      cancelChange();
      return running.stop();
    },
  };
}

function serverConfig(
  { nodeId, replication: { cluster, certificates, hub, excluded } }: ReplicatedConfig,
  { listen, bytesMax: maxFileBytes, hubListen }: StartedServer,
  made: {
    readonly storeDir: string;
    readonly isEncrypted: boolean;
    readonly members: readonly NodeId[];
    readonly limited: readonly LimitedNode[];
    readonly reads: readonly KeygroupId[] | undefined;
    readonly version: NatsServerVersion;
  },
): string {
  const { members: peers, version: serverVersion, ...rest } = made;
  const tls = certificates && { ...certificates, cluster };
  const settings = { nodeId, listen, maxFileBytes, tls, peers, excluded, ...rest };
  if (hub !== undefined) return leafServerConfig(settings, { address: hub.address, serverVersion });
  if (hubListen !== undefined) return hubServerConfig(settings, { address: hubListen, serverVersion });
  return natsServerConfig(settings);
}
