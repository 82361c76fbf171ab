import { findNatsServer } from '../../src/context-store/nats/server/nats-server-program.ts';
import {
  hubServerConfig,
  type LeafLink,
  leafServerConfig,
  type NatsServerSettings,
} from '../../src/context-store/nats/server/server-config.ts';
import type { NatsStore, NatsStoreOptions } from '../../src/context-store/nats.ts';
import { type NodeId, parseNodeId } from '../../src/domain/identifiers.ts';
import { freePort } from '../../tools/free-port.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type Cluster, type StoreNode, startCluster } from './nats-cluster.ts';

/** Beacons come ten times a minute; a test has less time. */
const CLOCK_SPEED = 10;

export const HUB = parseNodeId('hub');

/** A cluster of which one node is a hub; the others dial out to its server, or stand alone. */
export interface HubCluster {
  readonly hub: StoreNode;
  /** A node that can only dial out, with a running server; its store is closed. */
  leaf(id: string): Promise<StoreNode>;
  /** One that others can reach. */
  standalone(id: string): Promise<StoreNode>;
  openLeaf(leaf: StoreNode, options?: Partial<NatsStoreOptions>): Promise<NatsStore>;
  end(): Promise<void>;
}

export async function startHubCluster(): Promise<HubCluster> {
  const cluster: Cluster = await startCluster();
  const [program] = await natsPrograms();
  const { version } = await findNatsServer((program as { path: string }).path);
  const link: LeafLink = { address: { host: '127.0.0.1', port: await freePort() }, serverVersion: version };
  const settings = (nodeId: NodeId): NatsServerSettings => ({
    nodeId,
    listen: { host: '127.0.0.1', port: 0 },
    storeDir: '',
    maxFileBytes: 1e8,
    peers: [],
  });
  const hub = await cluster.node(HUB, {
    serverConfig: () => withoutStore(hubServerConfig(settings(HUB), link)),
    clockSpeed: CLOCK_SPEED,
  });
  return {
    hub,
    leaf: (id) =>
      cluster.node(id, {
        serverConfig: () => withoutStore(leafServerConfig(settings(parseNodeId(id)), link)),
        clockSpeed: CLOCK_SPEED,
      }),
    standalone: (id) => cluster.node(id, { clockSpeed: CLOCK_SPEED }),
    openLeaf: (leaf, options) => leaf.open([], { hub: HUB, ...options }),
    end: () => cluster.end(),
  };
}

/** The command line sets it, and may not do so twice. */
function withoutStore(config: string): string {
  return config.replace(/^.*store_dir.*\n/m, '');
}
