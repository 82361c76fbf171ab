import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkNodeCertificate } from '../../src/certificates/node-certificate.ts';
import { openSigning } from '../../src/certificates/record-signing.ts';
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import { LimitedMembers } from '../../src/context-store/nats/server/limited-members.ts';
import type { NatsServerProcess } from '../../src/context-store/nats/server/nats-server-process.ts';
import {
  hubServerConfig,
  type LeafLink,
  leafServerConfig,
  type NatsServerSettings,
  type NatsServerTls,
  natsServerConfig,
} from '../../src/context-store/nats/server/server-config.ts';
import { type NatsStore, openNatsStore } from '../../src/context-store/nats.ts';
import type { Signing } from '../../src/context-store/replication/signatures/signing.ts';
import { type ClusterName, type KeygroupId, type NodeId, parseNodeId } from '../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { certs, makeCertificates, supervise, tlsOf, watchedEnvironment } from '../../tools/supervised-nats.ts';
import { HOUR_MS, KEYGROUP, sessionKey } from '../../tools/turn-records.ts';
import { eventually, SharingStoreNode } from './sharing-store-node.ts';

const CLUSTER = 'blue' as ClusterName;

export interface TlsNodeOptions {
  /** Nodes that it is told of, with addresses. */
  readonly peers?: readonly TlsNode[];
  /** Accepts links at `link`, or dials out to this hub there. */
  readonly part?: { readonly link: LeafLink; readonly hub?: NodeId };
  readonly excluded?: readonly string[];
  /** Off: as a build that does not. */
  readonly signs?: boolean;
  readonly requiresSignatures?: boolean;
  /** That it serves. */
  readonly keygroups?: readonly KeygroupId[];
}

/** A store with certificates behind a supervised server, which lets in whom the store learns of. */
export class TlsNode extends SharingStoreNode<NatsStore> {
  readonly environment: ReturnType<typeof watchedEnvironment>;
  readonly server: NatsServerProcess;
  readonly signing: Signing | undefined;

  private constructor(id: NodeId, parts: Pick<TlsNode, 'environment' | 'server' | 'store' | 'signing'>) {
    super(id);
    this.environment = parts.environment;
    this.server = parts.server;
    this.signing = parts.signing;
    this.opened(parts.store);
  }

  static async open(
    name: string,
    { program, folder, certificates }: { program: string; folder: string; certificates: string },
    {
      peers = [],
      part,
      excluded = [],
      signs = true,
      requiresSignatures = false,
      keygroups = [KEYGROUP],
    }: TlsNodeOptions,
  ): Promise<TlsNode> {
    const id = parseNodeId(name);
    const tls = tlsOf(certificates, CLUSTER, name);
    const { reads } = await checkNodeCertificate(tls, { nodeId: id, cluster: CLUSTER, host: undefined }, Date.now());
    const members = new Set(peers.map((peer) => peer.id));
    const limited = new LimitedMembers();
    const storeDir = join(folder, name, 'jetstream');
    const config = () => {
      const settings: NatsServerSettings = {
        nodeId: id,
        listen: { host: '127.0.0.1', port: 0 },
        storeDir,
        maxFileBytes: 1e8,
        tls,
        peers: [...members],
        limited: limited.all,
        reads,
        excluded: excluded.map(parseNodeId),
      };
      if (part === undefined) return natsServerConfig(settings);
      return part.hub === undefined ? hubServerConfig(settings, part.link) : leafServerConfig(settings, part.link);
    };
    const server = await supervise({ program, folder: join(folder, name), config });
    // Chance is real: two nodes must not draw the same incarnation.
    const { random } = nodeEnvironment({ logLevel: 'silent', nodeId: name });
    const environment = { ...watchedEnvironment(), random };
    const replica = await openReplica(
      { folder: join(folder, name, 'replica'), nodeId: id, bytesMax: 1e9 },
      environment,
    );
    const signer = { nodeId: id, cluster: CLUSTER, requiresSignatures, recordLifeMs: HOUR_MS * 100 };
    const signing = signs ? await openSigning(tls, signer, replica, environment) : undefined;
    const store = await openNatsStore(
      {
        replica,
        signing,
        serverUrl: server.url,
        advertisedUrl: server.url,
        tls,
        cluster: CLUSTER,
        peers: peers.map((peer) => ({ nodeId: peer.id, url: peer.server.url })),
        ...(part?.hub !== undefined && { hub: part.hub }),
        excluded: excluded.map(parseNodeId),
        keygroups,
        reads,
        streamMaxAgeMs: HOUR_MS * 100,
        onMember: (member, limits) => {
          const hasLimits = limited.note(member, limits);
          if (!hasLimits && members.has(member)) return;
          members.add(member);
          // Links from other servers keep the permissions they were made with.
          void (part === undefined ? server.reload(config()) : server.restart(config()));
        },
      },
      environment,
    );
    return new TlsNode(id, { environment, server, store, signing });
  }

  /** A session of one turn, written now: by its age it is told whether it may be unsigned. */
  writeSession(name: string, keygroup: KeygroupId = KEYGROUP): Promise<SealedRecord> {
    return this.write({ key: sessionKey(name, undefined, keygroup), writtenAtMs: Date.now() });
  }

  async eventuallyHasSession(name: string, keygroup: KeygroupId = KEYGROUP): Promise<void> {
    await eventually(async () => {
      if ((await this.store.read(sessionKey(name, undefined, keygroup))) === undefined)
        throw new Error(`${this.id} lacks ${name}`);
    });
  }

  async stop(): Promise<void> {
    await this.close();
    await this.server.stop();
  }
}

export interface TlsCluster {
  open(name: string, options?: TlsNodeOptions): Promise<TlsNode>;
  /** What a node of that name has to show. */
  tls(name: string): NatsServerTls;
  end(): Promise<void>;
}

/** Nodes of one cluster, whose certificates are made as a user makes them; those of `limited` list what these may read. */
export async function startTlsCluster(
  program: string,
  names: readonly string[],
  limited: readonly { readonly name: string; readonly reads: readonly KeygroupId[] }[] = [],
): Promise<TlsCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'discedge-tls-'));
  const certificates = join(folder, 'certs');
  await makeCertificates(certificates, CLUSTER, names);
  for (const { name, reads } of limited)
    await certs('node', name, '--dir', certificates, '--host', '127.0.0.1', '--keygroups', reads.join());
  const nodes: TlsNode[] = [];
  return {
    async open(name, options = {}) {
      const node = await TlsNode.open(name, { program, folder, certificates }, options);
      nodes.push(node);
      return node;
    },
    tls: (name) => tlsOf(certificates, CLUSTER, name),
    async end() {
      for (const node of nodes) await node.stop();
      await rm(folder, { recursive: true });
    },
  };
}
