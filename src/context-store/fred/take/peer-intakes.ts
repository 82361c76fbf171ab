import type { Incarnation, KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import type { Environment } from '../../../environment/environment.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import type { PeerCalls } from '../../replication/peers/peer-calls.ts';
import { type Hello, type HelloReply, type NodeAnnouncement, sameLog } from '../../replication/peers/peer-protocol.ts';
import { toldCursor } from '../../replication/peers/told-logs.ts';
import { WantedReports } from '../../replication/peers/wanted-reports.ts';
import type { Applier } from '../../replication/pull/applier.ts';
import type { Holder } from '../../replication/pull/back-fill.ts';
import type { PeerLogStatus } from '../../replication-status.ts';
import { endOfMany } from '../end-of-many.ts';
import { isOfLog, parseItemId } from '../names.ts';
import type { FredClient } from '../wire/fred-client.ts';
import { LogIntake } from './log-intake.ts';

export interface PeerIntakesOptions {
  readonly nodeId: NodeId;
  readonly keygroups: readonly KeygroupId[];
  readonly replica: ReplicaStore;
  readonly applier: Applier;
  readonly origin: PeerCalls;
  readonly otherHolders: () => Holder[];
  readonly recordsOf: (keygroup: KeygroupId) => string;
  readonly client: FredClient;
  readonly ownClient: FredClient;
  readonly onRead: (characters: number) => void;
}

interface RunningIntake {
  readonly intake: LogIntake;
  readonly keygroup: string;
  readonly done: Promise<void>;
}

/** The logs that a peer writes and this node shares: an intake for each, and how far each is. */
export class PeerIntakes {
  readonly #options: PeerIntakesOptions;
  readonly #environment: Environment;
  readonly #reports: WantedReports;
  #running: readonly RunningIntake[] = [];
  #end = endOfMany();
  #ended: Promise<unknown> = Promise.resolve();
  #followed = '';
  /** Of the peer that is followed. */
  #incarnation: Incarnation | undefined;

  constructor(options: PeerIntakesOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    this.#reports = new WantedReports(options.origin, options.replica);
  }

  get status(): PeerLogStatus[] {
    return this.#running.map(({ intake }) => {
      const { keygroup, incarnation } = intake.log;
      const cursor = intake.cursor.sequence;
      const last = Math.max(intake.last, this.#options.applier.held.at(intake.log) ?? 0);
      return { keygroup, incarnation, cursor, lag: Math.max(0, last - cursor) };
    });
  }

  /** How far this node is in each. */
  get cursors(): Hello['cursors'] {
    return this.#running.map(({ intake }) => toldCursor(this.#options.replica, intake.log));
  }

  /** Takes in what this node and the peer, as it describes itself, share; goes on where that is what runs already. */
  follow({ nodeId: origin, incarnation, keygroups }: NodeAnnouncement): void {
    const { keygroups: own, recordsOf, replica, applier, client, ownClient, nodeId } = this.#options;
    const followed = `${incarnation} ${keygroups.join()}`;
    if (followed === this.#followed) return;
    this.#stop();
    this.#followed = followed;
    this.#incarnation = incarnation;
    const { signal } = this.#end;
    const nodes = () => [
      { nodeId: replica.nodeId, client: ownClient },
      { nodeId, client },
    ];
    this.#running = own
      .filter((keygroup) => keygroups.includes(keygroup))
      .map((keygroup) => {
        const log = { origin, incarnation, keygroup };
        const name = recordsOf(keygroup);
        const intake: LogIntake = new LogIntake(
          {
            log,
            keygroup: name,
            replica,
            applier,
            origin: this.#options.origin,
            otherHolders: this.#options.otherHolders,
            nodes,
            onRead: this.#options.onRead,
            onSettled: () => this.#reportWanted(keygroup),
          },
          this.#environment,
        );
        return { intake, keygroup: name, done: intake.run(signal) };
      });
  }

  /** Whether the item is of a log of the peer's. */
  arrived(keygroup: string, id: string, value: string): boolean {
    const place = parseItemId(id);
    if (place === undefined) return false;
    const running = this.#running.find((one) => one.keygroup === keygroup && isOfLog(place, one.intake.log));
    if (running !== undefined) this.#options.onRead(value.length);
    running?.intake.arrived(place.number, value);
    return running !== undefined;
  }

  look(): void {
    for (const { intake } of this.#running) intake.look();
  }

  /** The peer has told of its logs. */
  noteLogs(logs: HelloReply['logs']): void {
    for (const { log, last } of logs) this.#running.find(({ intake }) => sameLog(intake.log, log))?.intake.expect(last);
  }

  /** The peer waits until this node has a record, or asks what it has of a model that is not served here. */
  want(keygroup: KeygroupId, sequence: number): void {
    const { keygroups, nodeId: origin } = this.#options;
    if (keygroups.includes(keygroup)) {
      this.#reports.want(keygroup, sequence);
      this.#reportWanted(keygroup);
    } else if (this.#incarnation !== undefined) {
      this.#reports.kept({ origin, incarnation: this.#incarnation, keygroup });
    }
  }

  /** The peer must not take part any more. */
  async forget(): Promise<void> {
    this.#stop();
    await this.#ended;
  }

  close(): Promise<void> {
    return this.forget();
  }

  #stop(): void {
    this.#end.abort();
    this.#end = endOfMany();
    this.#ended = Promise.all([this.#ended, ...this.#running.map(({ done }) => done)]);
    this.#running = [];
    this.#followed = '';
    this.#incarnation = undefined;
    this.#reports.clear();
  }

  #reportWanted(keygroup: KeygroupId): void {
    const intake = this.#running.find((one) => one.intake.log.keygroup === keygroup)?.intake;
    if (intake !== undefined) this.#reports.reached(intake.log, intake.cursor.sequence);
  }
}
