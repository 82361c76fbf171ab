import type { ClusterName, KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import type { Environment } from '../../../environment/environment.ts';
import { OneAtATime } from '../../../waiting/one-at-a-time.ts';
import { repeat } from '../../../waiting/repeat.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import { Admission } from '../../replication/peers/admission.ts';
import { type KnownMember, KnownMembers } from '../../replication/peers/known-members.ts';
import type { PeerCalls } from '../../replication/peers/peer-calls.ts';
import {
  type Hello,
  type HelloReply,
  type Member,
  NODES_MAX,
  type NodeAnnouncement,
  type NodeRefusal,
} from '../../replication/peers/peer-protocol.ts';
import { PeerTable } from '../../replication/peers/peer-table.ts';
import { forgetEndedLogs, toldLogs } from '../../replication/peers/told-logs.ts';
import type { PeerHolders } from '../../replication/publish/peer-holders.ts';
import type { ReplicaAcks } from '../../replication/publish/replica-acks.ts';
import type { Applier } from '../../replication/pull/applier.ts';
import type { NatsConnectionOptions, NatsServerConnection } from '../nats-connection.ts';
import { PeerLink } from './peer-link.ts';
import { directRoute, hubRoute, isLoopbackUrl, type PeerRoute, requireProtected } from './peer-route.ts';

export interface PeerDirectoryOptions {
  readonly peers: readonly { readonly nodeId: NodeId; readonly url?: string | undefined }[];
  /** The node to which this one's server dials out; nobody can dial in here. */
  readonly hub?: NodeId | undefined;
  /** Nodes that are shut out. */
  readonly excluded?: readonly NodeId[] | undefined;
  /** Of this node's own server. */
  readonly home: NatsServerConnection;
  readonly cluster: ClusterName;
  readonly keygroups: readonly KeygroupId[];
  readonly reads?: readonly KeygroupId[] | undefined;
  readonly tls?: NatsConnectionOptions['tls'];
  readonly replica: ReplicaStore;
  readonly applier: Applier;
  readonly acks: ReplicaAcks;
  readonly holders: PeerHolders;
  readonly describe: () => NodeAnnouncement;
  readonly onMember: (member: Member) => void;
  /** A peer can be asked now, or again. */
  readonly onAccepted: () => void;
  /** A node has been away for too long, and is forgotten. */
  readonly onDeparted: (nodeId: NodeId) => void;
}

/** How often it is looked who is away. */
const AGE_EVERY_MS = 600_000;

/** The nodes of the cluster as far as this one knows them, and the link to each: configured, remembered or learned. */
export class PeerDirectory {
  readonly #options: PeerDirectoryOptions;
  readonly #environment: Environment;
  readonly peers = new PeerTable<PeerLink>();
  readonly #members: KnownMembers;
  readonly #admission: Admission;
  #endAging = async () => {};
  #areLogsLeftOut = false;
  readonly #catchingUp = new OneAtATime();
  /** Nodes that were heard of, whose keys are asked for. */
  readonly #asking = new Set<NodeId>();
  #isClosed = false;

  constructor(options: PeerDirectoryOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    this.#members = new KnownMembers(options.replica, environment.logger);
    this.#admission = new Admission(
      {
        own: options.describe,
        excluded: options.excluded ?? [],
        peer: (nodeId) => this.peers.get(nodeId),
        hasRoom: (nodeId) => this.#hasRoom(nodeId),
        signers: options.applier?.signers,
      },
      environment.logger,
    );
    const members = this.#members.read();
    for (const { nodeId, url } of options.peers) {
      if (url !== undefined) requireProtected(url, options.tls !== undefined);
      // A peer without an address is reached through this node's own server.
      const place =
        url === undefined ? { nodeId, hub: options.hub ?? options.replica.nodeId } : { nodeId, natsUrl: url };
      this.#add({ ...place, node: members.find((member) => member.nodeId === nodeId)?.node });
    }
    const { hub } = options;
    if (hub !== undefined && !this.peers.has(hub))
      this.#add({ nodeId: hub, node: members.find((member) => member.nodeId === hub)?.node });
    for (const member of members) this.#learn(member);
  }

  start(): void {
    for (const link of this.peers.values()) link.start();
    const { clock } = this.#environment;
    this.#endAging = repeat({ clock, everyMs: AGE_EVERY_MS }, () => this.#age());
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([this.#endAging(), ...[...this.peers.values()].map((link) => link.close())]);
  }

  get refusedNodes(): Record<string, NodeRefusal> {
    return this.#admission.refused;
  }

  /** What a node that greets this one is told. */
  async answer({ node, cursors }: Hello): Promise<HelloReply> {
    const refused = await this.#admission.judge(node);
    if (refused === undefined) this.#welcome(node, cursors);
    const own = this.#options.describe();
    const timeMs = this.#environment.clock.now();
    if (refused !== undefined) return { node: own, refused, timeMs, logs: [], members: [] };
    const { logs, logsLeftOut } = await toldLogs(this.#options.replica, (log) =>
      this.peers.isCurrent(log, this.#options.replica),
    );
    if (logsLeftOut > 0 && !this.#areLogsLeftOut) this.#environment.logger.warn('logs_left_out', { logsLeftOut });
    this.#areLogsLeftOut = logsLeftOut > 0;
    return { node: own, timeMs, logs, ...(logsLeftOut > 0 && { logsLeftOut }), members: [...this.#members.present] };
  }

  #welcome(node: NodeAnnouncement, cursors: Hello['cursors']): void {
    const { replica, acks, holders } = this.#options;
    if (node.nodeId === replica.nodeId) return;
    for (const { log, sequence } of cursors) acks.note(node.nodeId, log, sequence);
    holders.noteLogs(node, cursors);
    const link = this.peers.get(node.nodeId);
    // One that is refused would greet back for ever.
    const isNews = link?.node?.instance !== node.instance || link.node.httpUrl !== node.httpUrl;
    if (link !== undefined && link.state !== 'refused' && isNews) link.lookAgain();
    if (link === undefined) this.#learn(node);
    else if (!link.route.isThroughHub) this.#noteAddress(link, node.natsUrl);
  }

  /** What the configuration says goes first: the node may not know under which address it is reached from here. */
  #noteAddress({ nodeId, route }: PeerLink, natsUrl: string | undefined): void {
    if (natsUrl === undefined || (this.#options.tls === undefined && !isLoopbackUrl(natsUrl))) return;
    route.connection.alsoAt(natsUrl).catch((error) => {
      this.#environment.logger.error('peer_address_not_taken', { peer: nodeId }, error);
    });
    if (this.#options.peers.some((peer) => peer.nodeId === nodeId)) return;
    this.#members.set({ nodeId, natsUrl });
    this.#remember();
  }

  /** Keeps a node that can be reached from here; the others of the cluster are told of it. */
  #learn(member: KnownMember): void {
    const { nodeId } = member;
    if (this.#isClosed || nodeId === this.#options.replica.nodeId || this.peers.has(nodeId)) return;
    if (!this.#hasRoom(nodeId)) {
      this.#admission.refuse(nodeId, 'cluster_full');
      return;
    }
    const link = this.#add(member);
    if (link === undefined) return;
    this.#admission.accept(nodeId);
    this.#environment.logger.info('node_learned', { peer: nodeId, url: link.route.url });
    link.start();
    this.#remember();
    this.#options.onMember(this.#members.get(nodeId) as Member);
  }

  #add(member: KnownMember): PeerLink | undefined {
    const { nodeId, node } = member;
    const route = this.#routeTo(member);
    if (route === undefined) return undefined;
    const link: PeerLink = new PeerLink(
      {
        ...this.#options,
        nodeId,
        route,
        known: node,
        onAccepted: () => {
          this.#remember();
          this.#options.onAccepted();
        },
        onMembers: (members) => {
          for (const told of members) this.#heardOf(told, link.calls);
        },
        onChange: () => this.peers.lookAround(link),
        isHandedOut: (log) => this.peers.handsOut(log),
        oneAtATime: (work) => this.#catchingUp.run(work),
        areOthersConnected: () => this.peers.areAllConnected,
        otherHolders: () => this.peers.holdersBut(nodeId),
      },
      this.#environment,
    );
    this.peers.set(nodeId, link);
    this.#members.set(member);
    return link;
  }

  /** Whoever is in the cluster can tell of nodes that are not: where nodes have keys, one is learned once its is proved. */
  #heardOf(member: Member, from: PeerCalls): void {
    const { signers } = this.#options.applier;
    const { nodeId } = member;
    if (signers === undefined || signers.isProved(nodeId)) {
      this.#learn(member);
      return;
    }
    if (this.peers.has(nodeId) || this.#asking.has(nodeId) || this.#asking.size >= NODES_MAX) return;
    this.#asking.add(nodeId);
    from
      .signers(nodeId)
      .catch(() => undefined)
      .then((statements) => {
        for (const statement of statements ?? []) signers.learn(nodeId, statement);
        if (signers.mayTakePart(nodeId)) this.#learn(member);
        // One that does not answer has not said that there is no proof: who is in the cluster is told of again.
        else if (statements !== undefined) this.#admission.refuse(nodeId, 'unproved');
      })
      .finally(() => this.#asking.delete(nodeId));
  }

  /** Whether that node can be known; a departed one is forgotten for that, and for one that is proved one that is not. */
  #hasRoom(nodeId: NodeId): boolean {
    if (this.peers.size < NODES_MAX - 1) return true;
    const goes = this.#members.longestAway((other) => this.#mayForget(other)) ?? this.#unprovedFor(nodeId);
    if (goes === undefined) return false;
    this.#forget(goes);
    return true;
  }

  #unprovedFor(newcomer: NodeId): NodeId | undefined {
    const { signers } = this.#options.applier;
    if (signers?.isProved(newcomer) !== true) return undefined;
    return [...this.peers.keys()].find((nodeId) => !signers.isProved(nodeId) && this.#mayForget(nodeId));
  }

  /** Not one that the configuration names. */
  #mayForget(nodeId: NodeId): boolean {
    const { peers, hub } = this.#options;
    return nodeId !== hub && !peers.some((peer) => peer.nodeId === nodeId) && this.peers.isAway(nodeId);
  }

  #forget(nodeId: NodeId): void {
    const link = this.peers.get(nodeId);
    this.peers.delete(nodeId);
    this.#members.delete(nodeId);
    this.#admission.forget(nodeId);
    this.#options.acks.forget(nodeId);
    this.#options.holders.forget(nodeId);
    this.#options.onDeparted(nodeId);
    this.#environment.logger.info('node_forgotten', { peer: nodeId });
    void link?.close();
  }

  async #age(): Promise<void> {
    const gone = this.#members.age(AGE_EVERY_MS, (nodeId) => this.peers.isAway(nodeId));
    for (const nodeId of gone) if (this.#mayForget(nodeId)) this.#forget(nodeId);
    this.#remember();
    await forgetEndedLogs(this.#options.replica, (log) => this.peers.isCurrent(log, this.#options.replica)).catch(
      (error) => {
        this.#environment.logger.warn('logs_not_forgotten', {}, error);
      },
    );
  }

  #isExcluded(nodeId: NodeId): boolean {
    return this.#options.excluded?.includes(nodeId) === true;
  }

  /** `undefined` for a node that is shut out, or that cannot be reached from here, or only unprotected. */
  #routeTo({ nodeId, natsUrl, hub }: Member): PeerRoute | undefined {
    const { tls, replica, home, hub: ownHub } = this.#options;
    if (this.#isExcluded(nodeId)) return undefined;
    if (nodeId === ownHub || (hub !== undefined && (hub === replica.nodeId || hub === ownHub)))
      return hubRoute(home, { peer: nodeId, hub: ownHub ?? replica.nodeId });
    if (natsUrl !== undefined && (tls !== undefined || isLoopbackUrl(natsUrl)))
      return directRoute({ url: natsUrl, nodeId: replica.nodeId, tls, peer: nodeId }, this.#environment);
    const gateway = hub === undefined ? undefined : this.peers.get(hub)?.route;
    if (hub === undefined || gateway === undefined || gateway.isThroughHub) return undefined;
    return hubRoute(gateway.connection, { peer: nodeId, hub });
  }

  /** Whether nodes that see this one's server through a hub listen to it. */
  get hasHub(): boolean {
    const { hub, replica } = this.#options;
    return hub !== undefined || this.#members.all.some((place) => place.hub === replica.nodeId);
  }

  #remember(): void {
    if (!this.#isClosed) this.#members.remember((nodeId) => this.peers.get(nodeId)?.node);
  }
}
