import type { ClusterName, KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import type { Environment } from '../../../environment/environment.ts';
import { OneAtATime } from '../../../waiting/one-at-a-time.ts';
import { repeatUntil } from '../../../waiting/repeat.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import { Admission } from '../../replication/peers/admission.ts';
import { type KnownMember, KnownMembers } from '../../replication/peers/known-members.ts';
import {
  type Announcement,
  type FredPlace,
  type Hello,
  type HelloReply,
  NODES_MAX,
  type NodeAnnouncement,
  type NodeRefusal,
} from '../../replication/peers/peer-protocol.ts';
import { PeerTable } from '../../replication/peers/peer-table.ts';
import { forgetEndedLogs, toldLogs } from '../../replication/peers/told-logs.ts';
import type { PeerHolders } from '../../replication/publish/peer-holders.ts';
import type { ReplicaAcks } from '../../replication/publish/replica-acks.ts';
import type { Applier } from '../../replication/pull/applier.ts';
import { endOfMany } from '../end-of-many.ts';
import type { FredClient } from '../wire/fred-client.ts';
import { FredPeer } from './fred-peer.ts';
import type { Box, Mailbox } from './mailbox.ts';
import { MemberItems } from './member-items.ts';

export interface FredDirectoryOptions {
  readonly replica: ReplicaStore;
  readonly applier: Applier;
  readonly acks: ReplicaAcks;
  readonly holders: PeerHolders;
  readonly cluster: ClusterName;
  readonly keygroups: readonly KeygroupId[];
  readonly excluded: readonly NodeId[];
  /** Of this node's own FReD node. */
  readonly ownClient: FredClient;
  readonly clientFor: (host: string) => FredClient;
  /** The members' keygroup. */
  readonly members: string;
  readonly ownBox: string;
  readonly recordsOf: (keygroup: KeygroupId) => string;
  readonly mailbox: Mailbox;
  readonly scanEveryMs: number;
  readonly describe: () => NodeAnnouncement;
  /** A peer can be asked now, or again. */
  readonly onAccepted: () => void;
}

/** How often it is looked who is away. */
const AGE_EVERY_MS = 600_000;

/** The nodes of the cluster as far as this one knows them: from FReD, from each other, from the last start. */
export class FredDirectory {
  readonly #options: FredDirectoryOptions;
  readonly #environment: Environment;
  readonly peers = new PeerTable<FredPeer>();
  readonly #known: KnownMembers;
  readonly #admission: Admission;
  readonly #members: MemberItems;
  readonly #end = endOfMany();
  #running: Promise<unknown> = Promise.resolve();
  readonly #catchingUp = new OneAtATime();

  constructor(options: FredDirectoryOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    this.#known = new KnownMembers(options.replica, environment.logger);
    this.#admission = new Admission(
      {
        own: options.describe,
        excluded: options.excluded,
        peer: (nodeId) => this.peers.get(nodeId),
        hasRoom: () => this.#hasRoom(),
        signers: options.applier.signers,
      },
      environment.logger,
    );
    this.#members = new MemberItems(
      {
        ...options,
        nodeId: options.replica.nodeId,
        fredNodes: () => [...this.peers.values()].map(({ place }) => place.node),
        onPlaced: (nodeId, place) => this.#place(nodeId, place),
      },
      environment,
    );
    for (const member of this.#known.read()) this.#learn(member);
  }

  start(): void {
    const { signal } = this.#end;
    const { clock } = this.#environment;
    this.#running = Promise.all([
      repeatUntil(signal, { clock, everyMs: this.#options.scanEveryMs }, () => this.#scan()),
      this.#members.keepTelling(signal),
      repeatUntil(signal, { clock, everyMs: AGE_EVERY_MS }, () => this.#age()),
    ]);
  }

  async close(): Promise<void> {
    this.#end.abort();
    this.#members.close();
    await Promise.all([this.#running, ...[...this.peers.values()].map((peer) => peer.close())]);
  }

  get refusedNodes(): Record<string, NodeRefusal> {
    return this.#admission.refused;
  }

  /** This node's own FReD node is in place, under this name. Throws `FredFailure`. */
  async joined(fredNode: string): Promise<void> {
    await this.#members.joined(fredNode);
  }

  /** An item of the members' keygroup. */
  memberHeard(value: string): void {
    this.#members.heard(value);
  }

  arrived(keygroup: string, id: string, value: string): void {
    for (const peer of this.peers.values()) if (peer.arrived(keygroup, id, value)) return;
  }

  /** A node that has just joined is known to others before they are known to it. */
  async boxOf(nodeId: NodeId): Promise<Box | undefined> {
    const isStranger = !this.peers.has(nodeId) && !this.#options.excluded.includes(nodeId);
    if (isStranger) await this.#members.lookEverywhere();
    return this.peers.get(nodeId)?.box;
  }

  hear(from: NodeId, announcement: Announcement): void {
    const peer = this.peers.get(from);
    if (announcement.kind === 'want') peer?.want(announcement.keygroup, announcement.sequence);
    else if (announcement.kind === 'evicted') this.#options.holders.note(from, announcement.log, announcement.through);
    else if (announcement.kind === 'member' && peer?.node !== undefined) this.#learn(announcement);
  }

  /** Heard by the peers that can be reached now. */
  announce(announcement: Announcement): void {
    for (const peer of this.peers.values()) if (peer.state === 'connected') peer.announce(announcement);
  }

  /** What a node that greets this one is told. */
  async answer({ node, cursors }: Hello): Promise<HelloReply> {
    const refused = await this.#admission.judge(node);
    const [own, timeMs] = [this.#options.describe(), this.#environment.clock.now()];
    if (refused !== undefined) return { node: own, refused, timeMs, logs: [], members: [] };
    this.#welcome(node, cursors);
    const { logs, logsLeftOut } = await toldLogs(this.#options.replica, (log) =>
      this.peers.isCurrent(log, this.#options.replica),
    );
    if (logsLeftOut > 0) this.#environment.logger.debug('logs_left_out', { logsLeftOut });
    return { node: own, timeMs, logs, ...(logsLeftOut > 0 && { logsLeftOut }), members: [...this.#known.present] };
  }

  #welcome(node: NodeAnnouncement, cursors: Hello['cursors']): void {
    const { acks, holders } = this.#options;
    for (const { log, sequence } of cursors) acks.note(node.nodeId, log, sequence);
    holders.noteLogs(node, cursors);
    const peer = this.peers.get(node.nodeId);
    const isNews = peer?.node?.instance !== node.instance || peer.node.httpUrl !== node.httpUrl;
    // One that is refused would greet back for ever.
    if (peer !== undefined && peer.state !== 'refused' && isNews) peer.lookAgain();
  }

  /** A node says where it is. */
  async #place(nodeId: NodeId, place: FredPlace): Promise<void> {
    const there = this.peers.get(nodeId);
    // It has moved, or it is another node under the same id: the one known so far still answers then.
    const isMoved = there?.node !== undefined && !isSame(there.place, place);
    if (isMoved && (await there.calls.answersAs(there.node.instance)))
      this.#admission.refuse(nodeId, 'duplicate_node_id');
    else this.#learn({ nodeId, fred: place }, { isSaidByItself: true });
  }

  /** Keeps a node; the others of the cluster are told of it. What it says of itself goes before what others say. */
  #learn(member: KnownMember, { isSaidByItself = false } = {}): void {
    const { nodeId, fred: place } = member;
    const { excluded, replica } = this.#options;
    if (this.#end.signal.aborted || place === undefined || nodeId === replica.nodeId || excluded.includes(nodeId))
      return;
    const there = this.peers.get(nodeId);
    if (there !== undefined && (!isSaidByItself || isSame(there.place, place))) return;
    if (there === undefined && !this.#hasRoom()) {
      this.#admission.refuse(nodeId, 'cluster_full');
      return;
    }
    void there?.close();
    const peer = this.#peerAt(place, { ...member, node: there?.node ?? member.node });
    this.peers.set(nodeId, peer);
    this.#known.set(member);
    this.#environment.logger.info('node_learned', { peer: nodeId, url: place.host });
    peer.start();
    this.#remember();
    this.announce({ kind: 'member', nodeId, fred: place });
  }

  #peerAt(place: FredPlace, { nodeId, node }: KnownMember): FredPeer {
    const { clientFor, onAccepted } = this.#options;
    return new FredPeer(
      {
        ...this.#options,
        nodeId,
        place,
        client: clientFor(place.host),
        known: node,
        onAccepted: () => {
          this.#admission.accept(nodeId);
          this.#remember();
          onAccepted();
        },
        onMembers: (members) => {
          for (const told of members) this.#learn(told);
        },
        onChange: () => this.peers.lookAround(this.peers.get(nodeId)),
        isHandedOut: (log) => this.peers.handsOut(log),
        oneAtATime: (work) => this.#catchingUp.run(work),
        areOthersConnected: () => this.peers.areAllConnected,
        otherHolders: () => this.peers.holdersBut(nodeId),
      },
      this.#environment,
    );
  }

  async #scan(): Promise<void> {
    await this.#members.look();
    for (const peer of this.peers.values()) peer.scan();
  }

  async #age(): Promise<void> {
    for (const nodeId of this.#known.age(AGE_EVERY_MS, (away) => this.peers.isAway(away))) this.#forget(nodeId);
    this.#remember();
    await forgetEndedLogs(this.#options.replica, (log) => this.peers.isCurrent(log, this.#options.replica)).catch(
      (error) => {
        this.#environment.logger.warn('logs_not_forgotten', {}, error);
      },
    );
  }

  /** Whether one more node can be known; a departed one is forgotten for that. */
  #hasRoom(): boolean {
    if (this.peers.size < NODES_MAX - 1) return true;
    const departed = this.#known.longestAway((nodeId) => this.peers.isAway(nodeId));
    if (departed === undefined) return false;
    this.#forget(departed);
    return true;
  }

  #forget(nodeId: NodeId): void {
    const peer = this.peers.get(nodeId);
    this.peers.delete(nodeId);
    this.#known.delete(nodeId);
    this.#members.forget(nodeId);
    this.#admission.forget(nodeId);
    this.#options.acks.forget(nodeId);
    this.#options.holders.forget(nodeId);
    this.#environment.logger.info('node_forgotten', { peer: nodeId });
    void peer?.close();
  }

  #remember(): void {
    if (!this.#end.signal.aborted) this.#known.remember((nodeId) => this.peers.get(nodeId)?.node);
  }
}

function isSame(a: FredPlace, b: FredPlace): boolean {
  return a.node === b.node && a.host === b.host && a.box === b.box;
}
