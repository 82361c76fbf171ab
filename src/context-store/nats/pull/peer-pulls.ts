import type { NatsConnection } from '@nats-io/transport-node';
import type { KeygroupId } from '../../../domain/identifiers.ts';
import type { Environment } from '../../../environment/environment.ts';
import { pause } from '../../../waiting/pause.ts';
import type { LogCursor, OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import type { PeerCalls } from '../../replication/peers/peer-calls.ts';
import type { Hello, HelloReply, NodeAnnouncement } from '../../replication/peers/peer-protocol.ts';
import { toldCursor } from '../../replication/peers/told-logs.ts';
import { WantedReports } from '../../replication/peers/wanted-reports.ts';
import type { Applier } from '../../replication/pull/applier.ts';
import type { Holder } from '../../replication/pull/back-fill.ts';
import type { PeerLogStatus } from '../../replication-status.ts';
import type { Beacon } from '../peers/beacon.ts';
import { PullLoop } from './pull-loop.ts';

/** How long a record may take from its origin's disk to its origin's stream. */
const STREAM_PATIENCE_MS = 1_000;

export interface PeerPullsOptions {
  readonly keygroups: readonly KeygroupId[];
  /** What this node's certificate lists; `undefined` where it may read everything. */
  readonly reads?: readonly KeygroupId[] | undefined;
  readonly replica: ReplicaStore;
  readonly applier: Applier;
  /** Prefix of the JetStream API of the peer's server. */
  readonly api: string;
  readonly peer: PeerCalls;
  /** The peer as it was when this process started. */
  readonly known: NodeAnnouncement | undefined;
  /** Others that may hold records of the peer. */
  readonly otherHolders: () => Holder[];
}

/** The logs that a peer writes and this node shares: a pull loop for each, and how far each is. */
export class PeerPulls {
  readonly #options: PeerPullsOptions;
  readonly #environment: Environment;
  readonly #reports: WantedReports;
  /** The peer's last sequences, as it said when it was last greeted. */
  readonly #last = new Map<KeygroupId, number>();
  /** Logs of keygroups that it has written and no longer serves: no stream brings them, they are caught up with. */
  #left: readonly OriginLog[] = [];
  /** Messages that its streams still hold for us. */
  readonly #pending = new Map<KeygroupId, number>();
  #node: NodeAnnouncement | undefined;
  #loops: readonly PullLoop[] = [];
  #done: Promise<unknown> = Promise.resolve();
  #end = new AbortController();

  constructor(options: PeerPullsOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    this.#node = options.known;
    this.#reports = new WantedReports(options.peer, options.replica);
  }

  get status(): PeerLogStatus[] {
    return this.#knownLogs().map((log) => {
      const cursor = this.#options.replica.cursor(log).sequence;
      const { keygroup, incarnation } = log;
      const known = Math.max(this.#last.get(keygroup) ?? 0, this.#options.applier.held.at(log) ?? 0);
      const lag = Math.max(0, known - cursor, this.#pending.get(keygroup) ?? 0);
      return { keygroup, incarnation, cursor, lag };
    });
  }

  /** How far this node is in each. */
  get cursors(): Hello['cursors'] {
    return this.#knownLogs().map((log) => toldCursor(this.#options.replica, log));
  }

  /** Pulls what this node and the peer, as it describes itself, share; goes on where that is what runs already. */
  async follow(node: NodeAnnouncement, nats: NatsConnection): Promise<void> {
    const before = this.#node;
    const isSame = before?.incarnation === node.incarnation && before.keygroups.join() === node.keygroups.join();
    if (!isSame) {
      await this.stop();
      this.#last.clear();
      this.#left = [];
      this.#pending.clear();
    }
    this.#node = node;
    if (this.#loops.length === 0) this.#start(nats);
  }

  /** Ends the loops; the logs stay known. */
  async stop(): Promise<void> {
    this.#end.abort();
    this.#loops = [];
    await this.#done;
  }

  /** The peer must not take part any more. */
  async forget(): Promise<void> {
    await this.stop();
    this.#node = undefined;
    this.#left = [];
  }

  /** The peer has told of its logs. */
  noteLogs(logs: HelloReply['logs']): void {
    const node = this.#node;
    const own = logs.filter(({ log }) => log.origin === node?.nodeId && log.incarnation === node.incarnation);
    for (const { log, last } of own) this.#last.set(log.keygroup, last);
    this.#left = own.flatMap(({ log }) =>
      this.#options.keygroups.includes(log.keygroup) && !node?.keygroups.includes(log.keygroup) ? [log] : [],
    );
    const loops = this.#loops;
    // By then the records that it told of have come, or they are not in the stream.
    void pause(this.#environment.clock, STREAM_PATIENCE_MS, this.#end.signal).then(() => {
      for (const loop of loops) loop.lookBehind();
    });
  }

  /** Streams of the peer are ready. */
  wake(): void {
    for (const loop of this.#loops) loop.wake();
  }

  startOver(why: string): void {
    for (const loop of this.#loops) loop.startOver(why);
  }

  noteBeacon({ published }: Beacon): void {
    for (const loop of this.#loops) {
      const last = published[this.#node?.keygroups.indexOf(loop.log.keygroup) ?? -1];
      if (last !== undefined) loop.noteBeacon(last);
    }
  }

  /** The peer waits until this node has a record, or asks what it has of a model that is not served here. */
  want(keygroup: KeygroupId, sequence: number): void {
    const { keygroups, replica } = this.#options;
    if (keygroups.includes(keygroup)) {
      this.#reports.want(keygroup, sequence);
      const log = this.#knownLogs().find((known) => known.keygroup === keygroup);
      if (log !== undefined) this.#reports.reached(log, replica.cursor(log).sequence);
    } else if (this.#node !== undefined) {
      const { nodeId: origin, incarnation } = this.#node;
      this.#reports.kept({ origin, incarnation, keygroup });
    }
  }

  #start(nats: NatsConnection): void {
    const { reads, replica, applier, peer, api, otherHolders } = this.#options;
    this.#end = new AbortController();
    const { signal } = this.#end;
    this.#loops = this.#sharedLogs().map(
      (log) =>
        new PullLoop(
          {
            log,
            api,
            nodeId: replica.nodeId,
            isLimited: reads !== undefined,
            replica,
            applier,
            origin: peer,
            otherHolders,
            knownLast: () => this.#last.get(log.keygroup) ?? 0,
            onStreamMissing: () => peer.tell({ kind: 'check', keygroup: log.keygroup }),
            onProgress: (cursor, pending) => this.#noteProgress(log, cursor, pending),
          },
          this.#environment,
        ),
    );
    this.#done = Promise.all(this.#loops.map((loop) => loop.run(nats, signal)));
  }

  #sharedLogs(): OriginLog[] {
    const node = this.#node;
    if (node === undefined) return [];
    return this.#options.keygroups
      .filter((keygroup) => node.keygroups.includes(keygroup))
      .map((keygroup) => ({ origin: node.nodeId, incarnation: node.incarnation, keygroup }));
  }

  #knownLogs(): OriginLog[] {
    return [...this.#sharedLogs(), ...this.#left];
  }

  #noteProgress(log: OriginLog, cursor: LogCursor, pending: number): void {
    this.#pending.set(log.keygroup, pending);
    this.#reports.reached(log, cursor.sequence);
  }
}
