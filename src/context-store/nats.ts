import { DiscedgeError } from '../domain/errors.ts';
import {
  type ClusterName,
  type Incarnation,
  type KeygroupId,
  type NodeId,
  parseNodeId,
} from '../domain/identifiers.ts';
import type { Environment } from '../environment/environment.ts';
import type { ContextStore, SharedContexts } from './context-store.ts';
import type { OriginLog } from './leveldb/log/origin-log.ts';
import type { ReplicaStore } from './leveldb/replica.ts';
import { requireDistinctCodes } from './nats/names.ts';
import type { NatsConnectionOptions } from './nats/nats-connection.ts';
import { PeerDirectory } from './nats/peers/peer-directory.ts';
import { HomeServer } from './nats/publish/home-server.ts';
import type { Described } from './replication/peers/described-node.ts';
import type { Announcement, Hello, NodeAnnouncement } from './replication/peers/peer-protocol.ts';
import { type LimitedNode, mayRead } from './replication/peers/reading-rights.ts';
import { SharedReplica } from './replication/shared-replica.ts';
import type { Signing } from './replication/signatures/signing.ts';
import type { ReplicationStatus } from './replication-status.ts';

export interface NatsStoreOptions {
  /** Closed with the store, and when it cannot be opened. */
  readonly replica: ReplicaStore;
  /** This node's own nats-server, with JetStream. */
  readonly serverUrl: string;
  /** The same server as other nodes reach it; told to them. */
  readonly advertisedUrl?: string | undefined;
  /** Without it only peers on this machine are taken. */
  readonly tls?: NatsConnectionOptions['tls'];
  readonly cluster: ClusterName;
  /**
   * Some nodes of the cluster; the others are learned from them. One without an address is reached through this node's
   * server, which has a link to its server, or to one to which that has a link, too.
   */
  readonly peers: readonly { readonly nodeId: NodeId; readonly url?: string | undefined }[];
  /** The node to whose server this one's dials out, because nobody can dial in: a peer, too, and its peers are found through it. */
  readonly hub?: NodeId | undefined;
  /** Nodes that are shut out, whatever others tell of them. */
  readonly excluded?: readonly NodeId[] | undefined;
  /** Records of these are shared. */
  readonly keygroups: readonly KeygroupId[];
  /** What this node's certificate lists, beside which it may read what every node reads; `undefined` for all. */
  readonly reads?: readonly KeygroupId[] | undefined;
  /** Above the longest time a record lives: how long the server keeps it for peers that are away. */
  readonly streamMaxAgeMs: number;
  /** What other nodes are told of this one. */
  readonly describe?: () => Described;
  /** See `SharedReplicaOptions`. */
  readonly signing?: Signing | undefined;
  /**
   * A node has been learned of, or has knocked again; a server with access rules must let it in, under each of these limits where
   * there are certificates of the node with some.
   */
  readonly onMember?: (nodeId: NodeId, limits: readonly LimitedNode[]) => void;
  /** A node that was let in has been away for too long, and is forgotten. */
  readonly onDeparted?: (nodeId: NodeId) => void;
  /** Starts that server anew, where this node runs it: for one that takes connections and stores nothing any more. */
  readonly restartServer?: (() => void) | undefined;
}

export type NatsStore = ContextStore & {
  readonly incarnation: Incarnation;
  readonly sharing: SharedContexts;
  /** Greets all nodes again: what this one says of itself has changed. */
  tellAgain(): void;
};

/**
 * The context store of one of several nodes (DESIGN §7): a LevelDB replica that shares what it is given through this node's
 * nats-server and takes in what its peers share through theirs. Works alone for as long as nobody can be reached. Throws
 * `config_invalid` for a peer on another machine without certificates, and `certificate_unusable` for a keygroup that it may not read.
 */
export async function openNatsStore(options: NatsStoreOptions, environment: Environment): Promise<NatsStore> {
  const { replica, peers } = options;
  try {
    requireDistinctCodes(options.keygroups);
    requireReadable(options);
    for (const nodeId of [...peers.map((peer) => peer.nodeId), ...(options.hub === undefined ? [] : [options.hub])]) {
      parseNodeId(nodeId);
      if (nodeId === replica.nodeId) throw new DiscedgeError('config_invalid', `peer ${nodeId} has this node's own id`);
    }
    const store = new NatsReplica(options, environment);
    store.start();
    return store;
  } catch (error) {
    await replica.close();
    throw error;
  }
}

function requireReadable({ keygroups, reads }: NatsStoreOptions): void {
  const other = reads && keygroups.find((keygroup) => !mayRead(reads, keygroup));
  if (other === undefined) return;
  throw new DiscedgeError(
    'certificate_unusable',
    `this node serves keygroup ${other}, and its certificate lists others; make one with "discedge certs node --keygroups"`,
  );
}

class NatsReplica extends SharedReplica implements NatsStore {
  protected readonly directory: PeerDirectory;
  readonly #options: NatsStoreOptions;
  readonly #home: HomeServer;

  constructor(options: NatsStoreOptions, environment: Environment) {
    super(options, environment);
    this.#options = options;
    this.#home = new HomeServer(
      {
        ...this.requestParts,
        url: options.serverUrl,
        tls: options.tls,
        keygroups: options.keygroups,
        maxAgeMs: options.streamMaxAgeMs,
        restart: options.restartServer,
        onKnock: (hello) => this.#knocked(hello),
        hasHub: () => this.directory.hasHub,
      },
      environment,
    );
    this.directory = new PeerDirectory(
      {
        ...options,
        applier: this.applier,
        acks: this.acks,
        holders: this.holders,
        describe: () => this.describe(),
        home: this.#home.connection,
        onAccepted: () => this.gapFills.look(),
        onDeparted: (nodeId) => options.onDeparted?.(nodeId),
        onMember: (member) => {
          this.#letIn(member.nodeId);
          this.#home.announce({ kind: 'member', ...member });
        },
      },
      environment,
    );
  }

  start(): void {
    this.#home.start();
    this.directory.start();
    this.gapFills.start();
  }

  protected get carried(): Pick<ReplicationStatus, 'transport' | 'outbox'> {
    const { isConnected: connected, outbox } = this.#home;
    return { transport: { kind: 'nats', url: this.#options.advertisedUrl, connected }, outbox };
  }

  protected announce(announcement: Announcement): void {
    this.#home.announce(announcement);
  }

  protected uncarried(log: OriginLog): ReadonlySet<number> {
    return this.#home.uncarried(log);
  }

  protected wake(): void {
    this.#home.wake();
  }

  protected async end(): Promise<void> {
    this.acks.close();
    await Promise.all([this.directory.close(), this.#home.close()]);
    await this.gapFills.close();
    await this.replica.close();
  }

  protected override describe(): NodeAnnouncement {
    const { advertisedUrl, hub } = this.#options;
    return {
      ...super.describe(),
      ...(hub !== undefined ? { hub } : advertisedUrl !== undefined && { natsUrl: advertisedUrl }),
    };
  }

  async #knocked(hello: Hello): Promise<void> {
    const { refused } = await this.directory.answer(hello);
    // Known already, it may be unknown to the server.
    if (refused === undefined) this.#letIn(hello.node.nodeId);
  }

  #letIn(nodeId: NodeId): void {
    this.#options.onMember?.(nodeId, this.applier.signers?.limitsOf(nodeId) ?? []);
  }
}
