import { DiscedgeError } from '../../domain/errors.ts';
import type { ClusterName, Incarnation, KeygroupId, UserId } from '../../domain/identifiers.ts';
import { sealSigned } from '../../domain/record/record-signature.ts';
import type { SessionRecord } from '../../domain/record/turn-record.ts';
import type { Clock, Environment, Logger } from '../../environment/environment.ts';
import type {
  ContextStore,
  ErasedPage,
  KeyPage,
  RecordListener,
  RemovalListener,
  SessionPage,
  SessionQuery,
  SharedContexts,
  StoredSession,
  StoreStatus,
} from '../context-store.ts';
import type { ConversationIndex } from '../conversation-index.ts';
import type { OriginLog } from '../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../leveldb/replica.ts';
import type { ReplicationStatus } from '../replication-status.ts';
import { AnswerQuestions } from './peers/answer-questions.ts';
import { announcementOf, type Described, describedNode } from './peers/described-node.ts';
import type { Announcement, Hello, HelloReply, NodeAnnouncement, NodeRefusal } from './peers/peer-protocol.ts';
import type { PeerRequestsParts } from './peers/peer-requests.ts';
import type { PeerTable } from './peers/peer-table.ts';
import { TurnQuestions } from './peers/turn-questions.ts';
import { deletedLetGo } from './publish/deleted-let-go.ts';
import { OnlyHere } from './publish/only-here.ts';
import { PeerHolders } from './publish/peer-holders.ts';
import { ReplicaAcks } from './publish/replica-acks.ts';
import { Applier } from './pull/applier.ts';
import { GapFills } from './pull/gap-fills.ts';
import { SessionFetches } from './pull/session-fetches.ts';
import type { Signing } from './signatures/signing.ts';

/** A peer that has not answered by then is not there for whoever looks. */
const PROBE_WAIT_MS = 2_000;
/** A report that comes later counts at the next look. */
const REPORT_WAIT_MS = 500;

export interface SharedReplicaOptions {
  readonly replica: ReplicaStore;
  readonly cluster: ClusterName;
  /** Records of these are shared. */
  readonly keygroups: readonly KeygroupId[];
  /** What other nodes are told of this one. */
  readonly describe?: () => Described;
  /** This node's key, and what is known of the others'; without it records are not signed. */
  readonly signing?: Signing | undefined;
}

/** The other nodes, as a transport finds them. */
export interface Directory {
  readonly peers: PeerTable;
  readonly refusedNodes: Record<string, NodeRefusal>;
  /** What a node that greets this one is told. */
  answer(hello: Hello): Promise<HelloReply>;
}

/**
 * A node's store that shares: all that it promises, the replica on its disk promises. What nodes ask each other, and what is made of
 * their answers, is the same whatever carries it; that, and who is there, is the transport's.
 */
export abstract class SharedReplica implements ContextStore {
  readonly sharing: SharedContexts;
  protected readonly replica: ReplicaStore;
  protected readonly applier: Applier;
  protected readonly acks: ReplicaAcks;
  protected readonly holders: PeerHolders;
  protected readonly gapFills: GapFills;
  protected readonly turns: TurnQuestions;
  protected readonly answers: AnswerQuestions;
  readonly #options: SharedReplicaOptions;
  readonly #instance: string;
  readonly #onlyHere: OnlyHere;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #ending = new AbortController();
  #refreshing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: SharedReplicaOptions, { clock, logger, random }: Environment) {
    const { replica, keygroups, signing } = options;
    const { nodeId, incarnation } = replica;
    this.replica = replica;
    replica.rememberDeleted();
    this.#clock = clock;
    this.#logger = logger;
    this.#options = options;
    this.#instance = random.uuid();
    const applier = new Applier({ replica, logger, signers: signing?.signers });
    this.applier = applier;
    const holders = (keygroup: KeygroupId) =>
      keygroups.includes(keygroup) ? this.directory.peers.sessionHolders(keygroup) : [];
    const fetches = new SessionFetches({ replica, applier, holders, clock, logger });
    const mayHold = (keygroup: KeygroupId) => this.directory.peers.mayHold(keygroup);
    this.gapFills = new GapFills({ replica, applier, holders, mayHold, clock, logger });
    this.turns = new TurnQuestions({
      replica,
      fetches,
      nodes: (keygroup) => this.directory.peers.arbiters(keygroup),
      peer: (...args) => this.directory.peers.askedPeer(...args),
      clock,
      logger,
    });
    const peers = (keygroup: KeygroupId) => this.directory.peers.answeringPeers(keygroup);
    this.answers = new AnswerQuestions({ peers, clock, logger });
    const isWritten = (log: OriginLog) => replica.cursor(log).sequence > 0;
    this.acks = new ReplicaAcks({ nodeId, incarnation, isWritten }, clock);
    const own = {
      replica,
      acks: this.acks,
      announce: (news: Announcement) => this.announce(news),
      uncarried: (log: OriginLog) => this.uncarried(log),
    };
    this.#onlyHere = new OnlyHere(own);
    this.holders = new PeerHolders({ ...own, keygroups, peers: () => this.directory.peers, clock });
    replica.shareWith(this.holders);
    this.sharing = {
      arbitration: this.turns,
      answers: this.answers,
      status: () => this.#status(),
      onlyHere: () => this.#onlyHere.rows(),
      refresh: () => this.#refresh(),
      awaitReplicated: (hash, waitMs, signal) => this.#onlyHere.awaitReplicated(hash, keygroups, { waitMs, signal }),
      fetch: (...args) => fetches.fetch(...args),
      fetching: (key) => fetches.underWay(key),
      ...(signing !== undefined && { seal: (record: SessionRecord) => sealSigned(record, signing) }),
    };
  }

  get incarnation(): Incarnation {
    return this.replica.incarnation;
  }

  get conversations(): ConversationIndex {
    return this.replica.conversations;
  }

  async append(...args: Parameters<ReplicaStore['append']>): Promise<void> {
    await this.replica.append(...args);
    this.wake();
  }

  read(...args: Parameters<ReplicaStore['read']>): Promise<StoredSession | undefined> {
    return this.replica.read(...args);
  }

  list(query: SessionQuery): Promise<SessionPage> {
    return this.replica.list(query);
  }

  keys(query: SessionQuery): Promise<KeyPage> {
    return this.replica.keys(query);
  }

  expire(...args: Parameters<ReplicaStore['expire']>): Promise<number> {
    return this.replica.expire(...args);
  }

  get erasures(): ContextStore['erasures'] {
    return this.replica.erasures;
  }

  async erase(...args: Parameters<ReplicaStore['erase']>): Promise<ErasedPage> {
    const page = await this.replica.erase(...args);
    this.wake();
    return page;
  }

  async wipeErased(userId: UserId): Promise<void> {
    const waiting = { clock: this.#clock, signal: this.#ending.signal };
    const { keygroups } = this.#options;
    await Promise.all(keygroups.map((keygroup) => deletedLetGo(this.replica, keygroup, waiting)));
    await this.replica.wipeErased(userId);
  }

  status(): Promise<StoreStatus> {
    return this.replica.status();
  }

  onRecord(listener: RecordListener): () => void {
    return this.replica.onRecord(listener);
  }

  onRemoved(listener: RemovalListener): () => void {
    return this.replica.onRemoved(listener);
  }

  close(): Promise<void> {
    this.#ending.abort(new DiscedgeError('store_unavailable', 'the context store is closed'));
    this.#closing ??= this.end();
    return this.#closing;
  }

  /** Greets all nodes again: what this one says of itself has changed. */
  tellAgain(): void {
    this.directory.peers.lookAgain();
  }

  protected abstract get directory(): Directory;

  /** What carries records, and how far each own log is with it. */
  protected abstract get carried(): Pick<ReplicationStatus, 'transport' | 'outbox'>;

  /** To the peers that can be reached now. */
  protected abstract announce(announcement: Announcement): void;

  /** Records of an own log that no message can carry. */
  protected abstract uncarried(log: OriginLog): ReadonlySet<number>;

  /** There is something to share. */
  protected abstract wake(): void;

  /** Ends sharing, then closes the replica. Called once. */
  protected abstract end(): Promise<void>;

  /** What other nodes are told of this one, wherever they reach it. */
  protected describe(): NodeAnnouncement {
    return announcementOf(this.#options, this.#instance);
  }

  /** What peers are answered from, whatever brings what they ask. */
  protected get requestParts(): Omit<PeerRequestsParts, 'onCheck'> {
    return {
      replica: this.replica,
      logger: this.#logger,
      clock: this.#clock,
      turns: this.turns,
      answers: this.answers,
      describe: () => this.describe(),
      onHello: (hello) => this.#greeted(hello),
      signersOf: (origin) => this.applier.signers?.statementsOf(origin) ?? [],
      onReport: (peer, log, sequence) => this.acks.note(peer, log, sequence),
    };
  }

  /** Answers a node that greets this one. */
  async #greeted(hello: Hello): Promise<HelloReply> {
    const reply = await this.directory.answer(hello);
    // The node was not there to hear of these.
    for (const { log, sequence } of this.acks.wanted())
      this.announce({ kind: 'want', keygroup: log.keygroup, sequence });
    return reply;
  }

  #status(): ReplicationStatus {
    return {
      cluster: this.#options.cluster,
      nodeId: this.replica.nodeId,
      incarnation: this.incarnation,
      node: describedNode(this.describe()),
      ...this.carried,
      peers: this.directory.peers.statuses,
      refusedNodes: this.directory.refusedNodes,
    };
  }

  /** Whoever looks meanwhile looks at the same answers. */
  #refresh(): Promise<void> {
    this.#refreshing ??= Promise.all([this.directory.peers.probe(PROBE_WAIT_MS), this.#onlyHere.ask(REPORT_WAIT_MS)])
      .then(() => {})
      .finally(() => {
        this.#refreshing = undefined;
      });
    return this.#refreshing;
  }
}
