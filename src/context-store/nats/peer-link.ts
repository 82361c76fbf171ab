import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { MalformedBytes } from '../../domain/bytes.ts';
import type { ClusterName, KeygroupId, NodeId } from '../../domain/identifiers.ts';
import { RECORD_FORMAT_VERSION } from '../../domain/record-codec.ts';
import type { Environment } from '../../environment/environment.ts';
import type { PeerState, PeerStatus } from '../context-store.ts';
import { type LogCursor, logText, type OriginLog } from '../lmdb/origin-log.ts';
import type { ReplicaStore } from '../lmdb.ts';
import { backFill, type Holder } from './back-fill.ts';
import type { Intake } from './intake.ts';
import { announceSubject, backfillSubject } from './names.ts';
import { abortable, BackOff, Bell, pause } from './pause.ts';
import {
  decodePage,
  decodeRecords,
  describedNode,
  encodeMessage,
  type Hello,
  type HelloReply,
  type NodeAnnouncement,
  type PeerRequest,
  parseMessage,
} from './peer-protocol.ts';
import { PullLoop } from './pull-loop.ts';
import { ServerConnection, type ServerConnectionOptions } from './server-connection.ts';

const ANSWER_WAIT_MS = 5_000;
/** Between two greetings while all is well: they carry membership, load and what each holds, 1 kB together. */
const HELLO_EVERY_MS = 300_000;
/** While a node does not answer, or another node cannot be reached and this peer may hear of its records first. */
const HELLO_AGAIN_FIRST_MS = 1_000;
const HELLO_AGAIN_MAX_MS = 15_000;
const CATCH_UP_FIRST_MS = 5_000;
/** How long a record may take from its origin's disk to its origin's stream. */
const STREAM_PATIENCE_MS = 1_000;
/** A refused node may have been set right. */
const REFUSED_AGAIN_MS = 60_000;

export interface PeerLinkOptions {
  readonly nodeId: NodeId;
  readonly url: string;
  readonly tls: ServerConnectionOptions['tls'];
  readonly cluster: ClusterName;
  readonly keygroups: readonly KeygroupId[];
  readonly replica: ReplicaStore;
  readonly intake: Intake;
  /** What this node says of itself. */
  readonly describe: () => NodeAnnouncement;
  /** The peer as it was accepted before this process started. */
  readonly known: NodeAnnouncement | undefined;
  readonly onAccepted: () => void;
  /** The peer has told of nodes that it knows. */
  readonly onMembers: (members: HelloReply['members']) => void;
  /** Something about the connection has changed. */
  readonly onChange: () => void;
  /** Whether the node behind a log is connected, and with that disk: then it hands out its records itself. */
  readonly isOriginConnected: (log: OriginLog) => boolean;
  /** Runs one such work after the other: what one peer has handed out, the next one need not. */
  readonly oneAtATime: (work: () => Promise<void>) => Promise<void>;
  /** Whether all other nodes of the cluster can be reached. */
  readonly areOthersConnected: () => boolean;
}

/** Everything between this node and one peer, over one connection to the peer's server. */
export class PeerLink implements Holder {
  readonly nodeId: NodeId;
  readonly url: string;
  readonly #options: PeerLinkOptions;
  readonly #environment: Environment;
  readonly #connection: ServerConnection;
  readonly #helloBell: Bell;
  /** Logs of third nodes: how far this peer's list of them has been gone through. */
  readonly #listed = new Map<string, number>();
  /** Sequences that the peer waits for us to have, by keygroup. */
  readonly #wanted = new Map<KeygroupId, number>();
  /** The peer's last sequences, as it said when it was last greeted. */
  readonly #last = new Map<KeygroupId, number>();
  /** Messages that its streams still hold for us. */
  readonly #pending = new Map<KeygroupId, number>();
  #nats: NatsConnection | undefined;
  #pulls: readonly PullLoop[] = [];
  #pullsDone: Promise<unknown> = Promise.resolve();
  #pullsEnd = new AbortController();
  #accepted: NodeAnnouncement | undefined;
  #lastSeenMs: number | undefined;
  #state: PeerState = 'unreachable';
  #reason: string | undefined;

  constructor(options: PeerLinkOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    this.nodeId = options.nodeId;
    this.url = options.url;
    this.#accepted = options.known;
    this.#helloBell = new Bell(environment.clock);
    this.#connection = new ServerConnection(
      {
        url: options.url,
        nodeId: options.replica.nodeId,
        tls: options.tls,
        session: (nats, signal) => this.#session(nats, signal),
        onDown: (reason) => this.#become('unreachable', reason),
      },
      environment,
    );
  }

  get state(): PeerState {
    return this.#state;
  }

  /** The peer as it last described itself, and was accepted. */
  get node(): NodeAnnouncement | undefined {
    return this.#accepted;
  }

  start(): void {
    this.#connection.start();
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  /** Greet again now: something may have become known to the peer. */
  lookAgain(): void {
    this.#helloBell.ring();
  }

  /** Whether the peer answers under this instance; `false` when it does not answer at all. */
  async answersAs(instance: string): Promise<boolean> {
    const answer = await this.#ask({ kind: 'who' }).catch(() => undefined);
    return answer !== undefined && parseMessage('helloReply', answer)?.node.instance === instance;
  }

  async list(log: OriginLog, after: number) {
    return decoded(await this.#ask({ kind: 'list', log, after }), decodePage);
  }

  async fetch(log: OriginLog, sequences: readonly number[]) {
    return decoded(await this.#ask({ kind: 'fetch', log, sequences: [...sequences] }), decodeRecords);
  }

  status(): PeerStatus {
    const { intake, replica } = this.#options;
    const node = this.#accepted;
    const { in: bytesIn, out: bytesOut } = this.#connection.bytes;
    return {
      nodeId: this.nodeId,
      url: this.url,
      state: this.#state,
      reason: this.#reason,
      lastSeenMs: this.#lastSeenMs,
      node: node && describedNode(node),
      logs: this.#sharedLogs().map((log) => {
        const cursor = replica.cursor(log).sequence;
        const { keygroup, incarnation } = log;
        const lag = Math.max(0, (this.#last.get(keygroup) ?? 0) - cursor, this.#pending.get(keygroup) ?? 0);
        return { keygroup, incarnation, cursor, lag };
      }),
      refusedRecords: intake.refusedBy(this.nodeId),
      bytesIn,
      bytesOut,
    };
  }

  async #session(nats: NatsConnection, signal: AbortSignal): Promise<void> {
    this.#nats = nats;
    const announcements = nats.subscribe(announceSubject(this.nodeId), {
      callback: (error, message) => {
        if (error === null) this.#hear(message);
      },
    });
    this.#become('silent', 'not greeted yet');
    try {
      // A node whose process is down still has its records handed out by its server.
      if (this.#accepted !== undefined) this.#startPulls(nats);
      await this.#keepGreeting(nats, signal);
    } finally {
      this.#nats = undefined;
      announcements.unsubscribe();
      await this.#stopPulls();
    }
  }

  async #keepGreeting(nats: NatsConnection, signal: AbortSignal): Promise<void> {
    const silence = new BackOff({ firstMs: HELLO_AGAIN_FIRST_MS, maxMs: HELLO_AGAIN_MAX_MS });
    const catchUp = new BackOff({ firstMs: CATCH_UP_FIRST_MS, maxMs: HELLO_EVERY_MS });
    while (!signal.aborted) {
      let waitMs: number;
      try {
        const reply = await abortable(this.#hello(), signal);
        silence.reset();
        const refusal = this.#refusalOf(reply);
        if (refusal === undefined) {
          await this.#accept(nats, reply);
          await this.#catchUp(reply, signal);
          waitMs = this.#options.areOthersConnected() ? HELLO_EVERY_MS : catchUp.next();
          if (waitMs === HELLO_EVERY_MS) catchUp.reset();
        } else {
          await this.#stopPulls();
          this.#accepted = undefined;
          this.#become('refused', refusal);
          waitMs = REFUSED_AGAIN_MS;
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#become('silent', text(error));
        waitMs = silence.next();
      }
      await this.#helloBell.wait(signal, waitMs);
    }
  }

  /** Why this peer and this node must not share records. */
  #refusalOf({ node, refused }: HelloReply): string | undefined {
    const { cluster, replica, describe } = this.#options;
    if (refused === 'duplicate_node_id') return `node id ${replica.nodeId} is in use by another node of the cluster`;
    if (node.cluster !== cluster) return `it belongs to cluster ${node.cluster}, this node to ${cluster}`;
    if (node.recordVersion !== RECORD_FORMAT_VERSION)
      return `it writes record version ${node.recordVersion}, this node ${RECORD_FORMAT_VERSION}`;
    if (node.nodeId !== this.nodeId) return `its node id is ${node.nodeId}, not ${this.nodeId}`;
    if (node.instance === describe().instance) return 'this is the node itself';
    return refused;
  }

  async #accept(nats: NatsConnection, { node, logs, members }: HelloReply): Promise<void> {
    const before = this.#accepted;
    this.#lastSeenMs = this.#environment.clock.now();
    this.#accepted = node;
    const isSame = before?.incarnation === node.incarnation && before.keygroups.join() === node.keygroups.join();
    if (!isSame) {
      await this.#stopPulls();
      this.#last.clear();
      this.#pending.clear();
    }
    for (const { log, last } of logs) {
      if (log.origin === node.nodeId && log.incarnation === node.incarnation) this.#last.set(log.keygroup, last);
    }
    if (this.#pulls.length === 0) this.#startPulls(nats);
    this.#lookBehindLater();
    this.#become('connected', undefined);
    this.#options.onMembers(members);
    this.#options.onAccepted();
  }

  /** Records of nodes that do not hand them out themselves: away, dead, or of a disk that is no more. */
  async #catchUp({ logs }: HelloReply, signal: AbortSignal): Promise<void> {
    const { keygroups, replica, intake, isOriginConnected } = this.#options;
    for (const { log, last } of logs) {
      if (!keygroups.includes(log.keygroup) || isOriginConnected(log)) continue;
      const work = this.#options.oneAtATime(async () => {
        const after = Math.max(replica.cursor(log).sequence, this.#listed.get(logText(log)) ?? 0);
        if (last <= after || signal.aborted) return;
        const isOwn = log.origin === replica.nodeId && log.incarnation === replica.incarnation;
        // That peers know more of an own log than this node does tells that an older copy of its disk was put back.
        if (isOwn) this.#environment.log.error('store_rolled_back', { last: after, known: last });
        await backFill({ log, holder: this, after, through: last, isOrigin: isOwn }, { replica, intake });
        this.#listed.set(logText(log), last);
      });
      await abortable(work, signal);
    }
  }

  #startPulls(nats: NatsConnection): void {
    const { replica, intake } = this.#options;
    this.#pullsEnd = new AbortController();
    const { signal } = this.#pullsEnd;
    this.#pulls = this.#sharedLogs().map(
      (log) =>
        new PullLoop(
          {
            log,
            nodeId: replica.nodeId,
            replica,
            intake,
            origin: this,
            knownLast: () => this.#last.get(log.keygroup) ?? 0,
            onStreamMissing: () => this.#tell({ kind: 'check', keygroup: log.keygroup }),
            onProgress: (cursor, pending) => this.#noteProgress(log, cursor, pending),
          },
          this.#environment,
        ),
    );
    this.#pullsDone = Promise.all(this.#pulls.map((pull) => pull.run(nats, signal)));
  }

  /** By then the records that the greeting told of have come, or they are not in the stream. */
  #lookBehindLater(): void {
    const pulls = this.#pulls;
    void pause(this.#environment.clock, STREAM_PATIENCE_MS, this.#pullsEnd.signal).then(() => {
      for (const pull of pulls) pull.lookBehind();
    });
  }

  async #stopPulls(): Promise<void> {
    this.#pullsEnd.abort();
    this.#pulls = [];
    await this.#pullsDone;
  }

  #sharedLogs(): OriginLog[] {
    const node = this.#accepted;
    if (node === undefined) return [];
    return this.#options.keygroups
      .filter((keygroup) => node.keygroups.includes(keygroup))
      .map((keygroup) => ({ origin: this.nodeId, incarnation: node.incarnation, keygroup }));
  }

  #hear(message: Msg): void {
    const announcement = parseMessage('announcement', message.data);
    if (announcement === undefined) return;
    this.#lastSeenMs = this.#environment.clock.now();
    if (announcement.kind === 'stream') {
      for (const pull of this.#pulls) pull.wake();
      if (announcement.instance !== this.#accepted?.instance || this.#state !== 'connected') this.lookAgain();
      return;
    }
    if (announcement.kind === 'member') {
      if (this.#accepted !== undefined) this.#options.onMembers([announcement]);
      return;
    }
    const { keygroup, sequence } = announcement;
    this.#wanted.set(keygroup, Math.max(sequence, this.#wanted.get(keygroup) ?? 0));
    const log = this.#sharedLogs().find((shared) => shared.keygroup === keygroup);
    if (log !== undefined) this.#reportWanted(log, this.#options.replica.cursor(log).sequence);
  }

  #noteProgress(log: OriginLog, cursor: LogCursor, pending: number): void {
    this.#pending.set(log.keygroup, pending);
    this.#reportWanted(log, cursor.sequence);
  }

  #reportWanted(log: OriginLog, sequence: number): void {
    const wanted = this.#wanted.get(log.keygroup);
    if (wanted === undefined || sequence < wanted) return;
    this.#wanted.delete(log.keygroup);
    this.#tell({ kind: 'report', nodeId: this.#options.replica.nodeId, log, sequence });
  }

  #become(state: PeerState, reason: string | undefined): void {
    if (state === this.#state && reason === this.#reason) return;
    const { log } = this.#environment;
    if (state === 'refused') log.error('peer_refused', { peer: this.nodeId, reason });
    else if (state !== this.#state) log.info('peer_state', { peer: this.nodeId, state, reason });
    this.#state = state;
    this.#reason = reason;
    this.#options.onChange();
  }

  async #hello(): Promise<HelloReply> {
    const { describe, replica } = this.#options;
    const cursors = this.#sharedLogs().map((log) => ({ log, sequence: replica.cursor(log).sequence }));
    const hello: Hello = { kind: 'hello', node: describe(), cursors };
    const reply = parseMessage('helloReply', await this.#ask(hello));
    if (reply === undefined) throw new Error('its answer is not that of a node');
    return reply;
  }

  async #ask(request: PeerRequest): Promise<Uint8Array> {
    if (this.#nats === undefined) throw new Error(`${this.nodeId} is not connected`);
    const subject = backfillSubject(this.nodeId);
    const { data } = await this.#nats.request(subject, encodeMessage(request), { timeout: ANSWER_WAIT_MS });
    return data;
  }

  /** Says something that needs no answer; lost with the connection. */
  #tell(request: PeerRequest): void {
    try {
      this.#nats?.publish(backfillSubject(this.nodeId), encodeMessage(request));
    } catch {}
  }
}

function decoded<T>(data: Uint8Array, decode: (data: Uint8Array) => T): T {
  try {
    return decode(data);
  } catch (error) {
    if (error instanceof MalformedBytes) throw new Error(`its answer is malformed: ${error.message}`, { cause: error });
    throw error;
  }
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
