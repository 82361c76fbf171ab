import { DiscedgeError } from '../domain/errors.ts';
import {
  type ClusterName,
  type ContextId,
  type Incarnation,
  type KeygroupId,
  type NodeId,
  parseNodeId,
} from '../domain/identifiers.ts';
import type { Environment } from '../environment/environment.ts';
import type { ContextStore, SharedContexts } from './context-store.ts';
import type { OriginLog } from './leveldb/origin-log.ts';
import type { ReplicaStore } from './leveldb/replica.ts';
import { requireDistinctCodes } from './nats/names.ts';
import type { NatsConnectionOptions } from './nats/nats-connection.ts';
import { PeerDirectory } from './nats/peers/peer-directory.ts';
import { HomeServer } from './nats/publish/home-server.ts';
import { AnswerQuestions } from './replication/peers/answer-questions.ts';
import {
  describedNode,
  type Hello,
  type HelloReply,
  type NodeAnnouncement,
} from './replication/peers/peer-protocol.ts';
import { TurnQuestions } from './replication/peers/turn-questions.ts';
import { OnlyHere } from './replication/publish/only-here.ts';
import { ReplicaAcks } from './replication/publish/replica-acks.ts';
import { Applier } from './replication/pull/applier.ts';
import { GapFills } from './replication/pull/gap-fills.ts';
import { SessionFetches } from './replication/pull/session-fetches.ts';
import { announcement, type Described, SharedReplica } from './replication/shared-replica.ts';
import type { ReplicationStatus } from './replication-status.ts';

/** A peer that has not answered by then is not there for whoever looks. */
const PROBE_WAIT_MS = 2_000;
/** A report that comes later counts at the next look. */
const REPORT_WAIT_MS = 500;

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
  /** Above the longest time a record lives: how long the server keeps it for peers that are away. */
  readonly streamMaxAgeMs: number;
  /** What other nodes are told of this one. */
  readonly describe?: () => Described;
  /** A node has been learned of, or has knocked again; a server with access rules must let it in. */
  readonly onMember?: (nodeId: NodeId) => void;
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
 * `config_invalid` for a peer on another machine without certificates.
 */
export async function openNatsStore(options: NatsStoreOptions, environment: Environment): Promise<NatsStore> {
  const { replica, peers } = options;
  try {
    requireDistinctCodes(options.keygroups);
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

class NatsReplica extends SharedReplica implements NatsStore {
  readonly sharing: SharedContexts;
  readonly #options: NatsStoreOptions;
  readonly #acks: ReplicaAcks;
  readonly #onlyHere: OnlyHere;
  readonly #home: HomeServer;
  readonly #directory: PeerDirectory;
  readonly #fetches: SessionFetches;
  readonly #gapFills: GapFills;
  readonly #turns: TurnQuestions;
  readonly #answers: AnswerQuestions;
  readonly #instance: string;
  #refreshing: Promise<void> | undefined;

  constructor(options: NatsStoreOptions, environment: Environment) {
    const { replica } = options;
    super(replica);
    this.#options = options;
    const { clock, logger } = environment;
    const applier = new Applier({ replica, logger });
    const holders = (keygroup: KeygroupId) =>
      options.keygroups.includes(keygroup) ? this.#directory.sessionHolders(keygroup) : [];
    this.#fetches = new SessionFetches({ replica, applier, holders, clock, logger });
    this.#gapFills = new GapFills({
      replica,
      applier,
      holders,
      mayHold: (keygroup) => this.#directory.mayHold(keygroup),
      clock,
      logger,
    });
    this.#turns = new TurnQuestions({
      replica,
      fetches: this.#fetches,
      nodes: (keygroup) => this.#directory.arbiters(keygroup),
      peer: (...args) => this.#directory.askedPeer(...args),
      clock,
      logger,
    });
    this.#answers = new AnswerQuestions({
      peers: (keygroup) => this.#directory.answeringPeers(keygroup),
      clock,
      logger,
    });
    this.sharing = {
      arbitration: this.#turns,
      answers: this.#answers,
      status: () => this.#status(),
      onlyHere: () => this.#onlyHere.rows(),
      refresh: () => this.#refresh(),
      awaitReplicated: (...args) => this.#awaitReplicated(...args),
      fetch: (...args) => this.#fetches.fetch(...args),
      fetching: (key) => this.#fetches.underWay(key),
    };
    this.#instance = environment.random.uuid();
    const { nodeId, incarnation } = replica;
    const isWritten = (log: OriginLog) => replica.cursor(log).sequence > 0;
    this.#acks = new ReplicaAcks({ nodeId, incarnation, isWritten }, environment.clock);
    this.#onlyHere = new OnlyHere({
      replica,
      acks: this.#acks,
      announce: (news) => this.#home.announce(news),
      uncarried: (log) => this.#home.uncarried(log),
    });
    this.#home = new HomeServer(
      {
        url: options.serverUrl,
        tls: options.tls,
        replica,
        keygroups: options.keygroups,
        maxAgeMs: options.streamMaxAgeMs,
        restart: options.restartServer,
        describe: () => this.#describe(),
        onHello: (hello) => this.#greeted(hello),
        onKnock: (hello) => this.#knocked(hello),
        turns: this.#turns,
        answers: this.#answers,
        onReport: (peer, log, sequence) => this.#acks.note(peer, log, sequence),
        hasHub: () => this.#directory.hasHub,
      },
      environment,
    );
    this.#directory = new PeerDirectory(
      {
        ...options,
        applier,
        acks: this.#acks,
        describe: () => this.#describe(),
        home: this.#home.connection,
        onAccepted: () => this.#gapFills.look(),
        onDeparted: (nodeId) => options.onDeparted?.(nodeId),
        onMember: (member) => {
          options.onMember?.(member.nodeId);
          this.#home.announce({ kind: 'member', ...member });
        },
      },
      environment,
    );
  }

  start(): void {
    this.#home.start();
    this.#directory.start();
    this.#gapFills.start();
  }

  protected wake(): void {
    this.#home.wake();
  }

  #status(): ReplicationStatus {
    return {
      cluster: this.#options.cluster,
      nodeId: this.replica.nodeId,
      incarnation: this.incarnation,
      node: describedNode(this.#describe()),
      transport: { kind: 'nats', url: this.#options.advertisedUrl, connected: this.#home.isConnected },
      outbox: this.#home.outbox,
      peers: this.#directory.peers,
      refusedNodes: this.#directory.refusedNodes,
    };
  }

  tellAgain(): void {
    this.#directory.greetAgain();
  }

  /** Whoever looks meanwhile looks at the same answers. */
  #refresh(): Promise<void> {
    this.#refreshing ??= Promise.all([this.#directory.probe(PROBE_WAIT_MS), this.#onlyHere.ask(REPORT_WAIT_MS)])
      .then(() => {})
      .finally(() => {
        this.#refreshing = undefined;
      });
    return this.#refreshing;
  }

  #awaitReplicated(hash: ContextId, waitMs: number, signal: AbortSignal): Promise<number> {
    return this.#onlyHere.awaitReplicated(hash, this.#options.keygroups, { waitMs, signal });
  }

  protected async end(): Promise<void> {
    this.#acks.close();
    await Promise.all([this.#directory.close(), this.#home.close()]);
    await this.#gapFills.close();
    await this.replica.close();
  }

  async #greeted(hello: Hello): Promise<HelloReply> {
    const reply = await this.#directory.answer(hello);
    // The node was not there to hear of these.
    for (const { log, sequence } of this.#acks.wanted())
      this.#home.announce({ kind: 'want', keygroup: log.keygroup, sequence });
    return reply;
  }

  async #knocked(hello: Hello): Promise<void> {
    const { refused } = await this.#directory.answer(hello);
    // Known already, it may be unknown to the server.
    if (refused === undefined) this.#options.onMember?.(hello.node.nodeId);
  }

  #describe(): NodeAnnouncement {
    const { advertisedUrl, hub, describe } = this.#options;
    return {
      ...announcement(this.replica, { ...this.#options, instance: this.#instance }, describe?.()),
      ...(hub !== undefined ? { hub } : advertisedUrl !== undefined && { natsUrl: advertisedUrl }),
    };
  }
}
