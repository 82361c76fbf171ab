import { isIPv4 } from 'node:net';
import { DiscedgeError } from '../../domain/errors.ts';
import type { ClusterName, KeygroupId, NodeId } from '../../domain/identifiers.ts';
import { RECORD_FORMAT_VERSION } from '../../domain/record-codec.ts';
import type { Environment } from '../../environment/environment.ts';
import type { PeerStatus } from '../context-store.ts';
import type { OriginLog } from '../lmdb/origin-log.ts';
import type { ReplicaStore } from '../lmdb.ts';
import type { Intake } from './intake.ts';
import { PeerLink } from './peer-link.ts';
import {
  type Hello,
  type HelloReply,
  LOGS_MAX,
  NODES_MAX,
  type NodeAnnouncement,
  type NodeRefusal,
} from './peer-protocol.ts';
import type { ReplicaAcks } from './replica-acks.ts';
import type { ServerConnectionOptions } from './server-connection.ts';

export interface NodeDirectoryOptions {
  readonly peers: readonly { readonly nodeId: NodeId; readonly url: string }[];
  readonly cluster: ClusterName;
  readonly keygroups: readonly KeygroupId[];
  readonly tls?: ServerConnectionOptions['tls'];
  readonly replica: ReplicaStore;
  readonly intake: Intake;
  readonly acks: ReplicaAcks;
  readonly describe: () => NodeAnnouncement;
  readonly onMember: (nodeId: NodeId, url: string) => void;
}

/** What is remembered of a node from one start to the next. */
interface Member {
  readonly nodeId: NodeId;
  readonly url: string;
  readonly node: NodeAnnouncement | undefined;
}

/** Name of the note that holds them. */
const MEMBERS = 'members';

/** The nodes of the cluster as far as this one knows them, and the link to each: configured, remembered or learned. */
export class NodeDirectory {
  readonly #options: NodeDirectoryOptions;
  readonly #environment: Environment;
  readonly #links = new Map<NodeId, PeerLink>();
  readonly #refused = new Map<NodeId, NodeRefusal>();
  #remembered = '';
  #catchingUp: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: NodeDirectoryOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    const members = this.#readMembers();
    for (const { nodeId, url } of options.peers) {
      this.#refuseUnprotected(url);
      this.#add({ nodeId, url, node: members.find((member) => member.nodeId === nodeId)?.node });
    }
    for (const member of members) this.#learn(member);
  }

  start(): void {
    for (const link of this.#links.values()) link.start();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#links.values()].map((link) => link.close()));
  }

  get peers(): PeerStatus[] {
    return [...this.#links.values()].map((link) => link.status());
  }

  get refusedNodes(): Record<string, NodeRefusal> {
    return Object.fromEntries(this.#refused);
  }

  /** What a node that greets this one is told. */
  async answer({ node, cursors }: Hello): Promise<HelloReply> {
    const refused = await this.#refusalOf(node);
    if (refused === undefined) this.#welcome(node, cursors);
    else this.#refuse(node.nodeId, refused);
    const logs = this.#options.replica.logs().map(({ log, last }) => ({ log, last }));
    return {
      node: this.#options.describe(),
      ...(refused !== undefined && { refused }),
      logs: refused === undefined ? logs.slice(-LOGS_MAX) : [],
      members: refused === undefined ? this.#members().map(({ nodeId, url }) => ({ nodeId, natsUrl: url })) : [],
    };
  }

  async #refusalOf(node: NodeAnnouncement): Promise<NodeRefusal | undefined> {
    const own = this.#options.describe();
    if (node.cluster !== own.cluster) return 'other_cluster';
    if (node.recordVersion !== RECORD_FORMAT_VERSION) return 'other_record_version';
    if (node.nodeId === own.nodeId) return node.instance === own.instance ? undefined : 'duplicate_node_id';
    const link = this.#links.get(node.nodeId);
    const known = link?.node;
    if (link === undefined || known === undefined || known.instance === node.instance) return undefined;
    // Started anew, or another node under the same id: the one known so far still answers then.
    return (await link.answersAs(known.instance)) ? 'duplicate_node_id' : undefined;
  }

  #refuse(nodeId: NodeId, reason: NodeRefusal): void {
    if (this.#refused.get(nodeId) !== reason) this.#environment.log.error('node_refused', { peer: nodeId, reason });
    if (this.#refused.size < NODES_MAX || this.#refused.has(nodeId)) this.#refused.set(nodeId, reason);
  }

  #welcome(node: NodeAnnouncement, cursors: Hello['cursors']): void {
    const { replica, acks } = this.#options;
    if (node.nodeId === replica.nodeId) return;
    this.#refused.delete(node.nodeId);
    for (const { log, sequence } of cursors) {
      if (log.origin === replica.nodeId && log.incarnation === replica.incarnation)
        acks.note(node.nodeId, log, sequence);
    }
    const link = this.#links.get(node.nodeId);
    // One that is refused would greet back for ever.
    if (link !== undefined && link.state !== 'refused' && link.node?.instance !== node.instance) link.lookAgain();
    if (node.natsUrl !== undefined) this.#learn({ nodeId: node.nodeId, url: node.natsUrl, node: undefined });
  }

  #learn(member: Member): void {
    const { nodeId, url } = member;
    if (this.#isClosed || nodeId === this.#options.replica.nodeId || this.#links.has(nodeId)) return;
    if (this.#links.size >= NODES_MAX - 1 || (this.#options.tls === undefined && !isLoopback(url))) return;
    this.#environment.log.info('node_learned', { peer: nodeId, url });
    this.#add(member).start();
    this.#remember();
    this.#options.onMember(nodeId, url);
  }

  #add({ nodeId, url, node }: Member): PeerLink {
    const link = new PeerLink(
      {
        ...this.#options,
        nodeId,
        url,
        tls: this.#options.tls,
        known: node,
        onAccepted: () => this.#remember(),
        onMembers: (members) => {
          for (const member of members) this.#learn({ nodeId: member.nodeId, url: member.natsUrl, node: undefined });
        },
        onChange: () => this.#lookAround(link),
        isOriginConnected: (log) => this.#isOriginConnected(log),
        oneAtATime: (work) => this.#oneAtATime(work),
        areOthersConnected: () => [...this.#links.values()].every(({ state }) => state === 'connected'),
      },
      this.#environment,
    );
    this.#links.set(nodeId, link);
    return link;
  }

  /** When a node goes away, others may have records of it that this node lacks. */
  #lookAround(changed: PeerLink): void {
    if (changed.state === 'connected' || changed.node === undefined) return;
    for (const link of this.#links.values()) if (link !== changed && link.state === 'connected') link.lookAgain();
  }

  #isOriginConnected({ origin, incarnation }: OriginLog): boolean {
    const link = this.#links.get(origin);
    return link?.state === 'connected' && link.node?.incarnation === incarnation;
  }

  #oneAtATime(work: () => Promise<void>): Promise<void> {
    const done = this.#catchingUp.then(work);
    this.#catchingUp = done.catch(() => {});
    return done;
  }

  #members(): Member[] {
    return [...this.#links.values()].map(({ nodeId, url, node }) => ({ nodeId, url, node }));
  }

  #readMembers(): Member[] {
    try {
      return JSON.parse(this.#options.replica.noted(MEMBERS) ?? '[]');
    } catch {
      return [];
    }
  }

  #remember(): void {
    const text = JSON.stringify(this.#members().map((member) => ({ ...member, node: lasting(member.node) })));
    if (text === this.#remembered || this.#isClosed) return;
    this.#remembered = text;
    this.#options.replica.note(MEMBERS, text).catch((error) => {
      this.#environment.log.warn('members_not_remembered', {}, error);
    });
  }

  #refuseUnprotected(url: string): void {
    if (this.#options.tls !== undefined || isLoopback(url)) return;
    throw new DiscedgeError(
      'config_invalid',
      `peer ${url} is on another machine, and there are no certificates; make them with "discedge certs"`,
    );
  }
}

/** What of a node does not change while it runs. */
function lasting(node: NodeAnnouncement | undefined): NodeAnnouncement | undefined {
  if (node === undefined) return undefined;
  const { load: _, ...rest } = node;
  return rest;
}

function isLoopback(url: string): boolean {
  try {
    const { hostname } = new URL(url.includes('://') ? url : `nats://${url}`);
    return hostname === 'localhost' || hostname === '[::1]' || (isIPv4(hostname) && hostname.startsWith('127.'));
  } catch {
    return false;
  }
}
