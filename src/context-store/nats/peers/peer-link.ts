import type { Msg, NatsConnection } from '@nats-io/transport-node';
import type { KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import type { Environment } from '../../../environment/environment.ts';
import { abortable } from '../../../waiting/abortable.ts';
import { BackOff } from '../../../waiting/back-off.ts';
import { Bell } from '../../../waiting/bell.ts';
import { describedNode } from '../../replication/peers/described-node.ts';
import { LastSeen } from '../../replication/peers/last-seen.ts';
import { PeerCalls } from '../../replication/peers/peer-calls.ts';
import {
  accepted,
  connectionLost,
  connectionUp,
  isBack,
  isNewStart,
  looksTheSame,
  nodeOf,
  notConnectedYet,
  type PeerLinkState,
  reasonOf,
  refused,
  unanswered,
} from '../../replication/peers/peer-link-state.ts';
import {
  type Hello,
  type HelloReply,
  type Member,
  type NodeAnnouncement,
  parseMessage,
} from '../../replication/peers/peer-protocol.ts';
import { upgradeReason, whyRefused } from '../../replication/peers/peer-refusal.ts';
import { PeerStateLog } from '../../replication/peers/peer-state-log.ts';
import type { PeerHolders } from '../../replication/publish/peer-holders.ts';
import type { Holder } from '../../replication/pull/back-fill.ts';
import { CatchUp, type CatchUpOptions } from '../../replication/pull/catch-up.ts';
import type { PeerState, PeerStatus } from '../../replication-status.ts';
import { greetingFailure, isForbidden } from '../failure-text.ts';
import { announceSubject, asksAt, beaconSubject } from '../names.ts';
import type { ConnectionUser } from '../nats-connection.ts';
import { PeerPulls } from '../pull/peer-pulls.ts';
import { decodeBeacon } from './beacon.ts';
import { NatsChannel } from './nats-channel.ts';
import type { PeerRoute } from './peer-route.ts';

/** Between two greetings while all is well: they carry membership, load and what each holds, 1 kB together. */
const HELLO_EVERY_MS = 300_000;
/** While a node does not answer, or another node cannot be reached and this peer may hear of its records first. */
const HELLO_AGAIN_FIRST_MS = 1_000;
const HELLO_AGAIN_MAX_MS = 15_000;
const CATCH_UP_FIRST_MS = 5_000;
/** A refused node may have been set right. */
const REFUSED_AGAIN_MS = 60_000;
/** Three beacons of a peer behind a hub are missing, and a bit. */
const BEACON_MISSED_MS = 35_000;

export interface PeerLinkOptions extends CatchUpOptions {
  readonly nodeId: NodeId;
  /** What this node's certificate lists; `undefined` where it may read everything. */
  readonly reads?: readonly KeygroupId[] | undefined;
  readonly route: PeerRoute;
  /** What this node says of itself. */
  readonly describe: () => NodeAnnouncement;
  /** The peer as it was accepted before this process started. */
  readonly known: NodeAnnouncement | undefined;
  readonly holders: PeerHolders;
  readonly onAccepted: () => void;
  /** The peer has told of nodes that it knows. */
  readonly onMembers: (members: readonly Member[]) => void;
  /** Something about the connection has changed. */
  readonly onChange: () => void;
  /** Whether all other nodes of the cluster can be reached. */
  readonly areOthersConnected: () => boolean;
  /** Others that may hold records of the peer. */
  readonly otherHolders: () => Holder[];
}

/** Everything between this node and one peer. */
export class PeerLink {
  readonly nodeId: NodeId;
  readonly calls: PeerCalls;
  readonly #options: PeerLinkOptions;
  readonly #use: ConnectionUser;
  readonly #pulls: PeerPulls;
  readonly #helloBell: Bell;
  readonly #catchUp: CatchUp;
  readonly #seen: LastSeen;
  readonly #stateLog: PeerStateLog;
  /** Outlives a connection: a server that does not let this node in yet drops it each time. */
  readonly #silence = new BackOff({ firstMs: HELLO_AGAIN_FIRST_MS, maxMs: HELLO_AGAIN_MAX_MS });
  #state: PeerLinkState;

  constructor(options: PeerLinkOptions, environment: Environment) {
    this.#options = options;
    this.nodeId = options.nodeId;
    this.#state = notConnectedYet(options.known);
    this.#helloBell = new Bell(environment.clock);
    this.#seen = new LastSeen(environment.clock, {
      // Nothing else would tell that a peer behind a hub, or the way to it, is gone.
      quietMs: options.route.isThroughHub ? BEACON_MISSED_MS : Number.POSITIVE_INFINITY,
      onQuiet: () => this.lookAgain(),
    });
    this.#stateLog = new PeerStateLog(options.nodeId, environment.logger);
    this.calls = new PeerCalls(options.nodeId, environment.clock);
    this.#catchUp = new CatchUp(options, { holder: this.calls, logger: environment.logger });
    this.#pulls = new PeerPulls({ ...options, api: options.route.api, peer: this.calls }, environment);
    this.#use = {
      onUp: (nats, signal) => this.#whileUp(nats, signal),
      onDown: (reason) => this.#become(connectionLost(this.#state, reason)),
    };
  }

  get route(): PeerRoute {
    return this.#options.route;
  }

  get state(): PeerState {
    return this.#state.kind;
  }

  /** The peer as it last described itself, and was accepted. */
  get node(): NodeAnnouncement | undefined {
    return nodeOf(this.#state);
  }

  start(): void {
    const { connection, isThroughHub } = this.route;
    connection.join(this.#use);
    if (!isThroughHub) connection.start();
  }

  async close(): Promise<void> {
    const { connection, isThroughHub } = this.route;
    await connection.leave(this.#use);
    if (!isThroughHub) await connection.close();
  }

  /** Greet again now: something may have become known to the peer. */
  lookAgain(): void {
    this.#helloBell.ring();
  }

  /** Finds out whether a peer that was there still is: a cut is felt only when the connection has been silent for long. */
  async probe(waitMs: number): Promise<void> {
    if (this.#state.kind !== 'connected') return;
    const { instance } = this.#state.node;
    if (await this.calls.answersAs(instance, waitMs)) return this.#seen.note();
    if (isNewStart(this.#state, instance)) return;
    this.#become(unanswered(this.#state, `no answer within ${waitMs / 1000} s`));
    this.lookAgain();
  }

  status(): PeerStatus {
    const { url, connection } = this.route;
    const { node } = this;
    const needsRecordVersion = this.#options.applier.held.versionNeededFor(this.nodeId);
    const { in: bytesIn, out: bytesOut } = connection.bytes;
    return {
      nodeId: this.nodeId,
      url,
      state: this.state,
      reason:
        reasonOf(this.#state) ?? (needsRecordVersion === undefined ? undefined : upgradeReason(needsRecordVersion)),
      needsRecordVersion,
      lastSeenMs: this.#seen.atMs,
      clock: this.calls.clock,
      node: node && describedNode(node),
      logs: this.#pulls.status,
      refusedRecords: this.#options.applier.refusedBy(this.nodeId),
      bytesIn,
      bytesOut,
    };
  }

  async #whileUp(nats: NatsConnection, signal: AbortSignal): Promise<void> {
    const { reads, replica } = this.#options;
    const channel = new NatsChannel(nats, this.nodeId, asksAt(this.nodeId, { nodeId: replica.nodeId, reads }));
    this.calls.use(channel);
    const heard = [this.#listen(nats, announceSubject(this.nodeId), (message) => this.#hear(message))];
    if (this.route.isThroughHub)
      heard.push(this.#listen(nats, beaconSubject(this.nodeId), (message) => this.#hearBeacon(message)));
    this.#become(connectionUp(this.#state));
    try {
      // A node whose process is down still has its records handed out by its server.
      if (this.node !== undefined) await this.#pulls.follow(this.node, nats);
      await this.#keepGreeting(nats, channel, signal);
    } finally {
      this.calls.use(undefined);
      this.#seen.stopWatching();
      for (const stop of heard) stop();
      await this.#pulls.stop();
    }
  }

  async #keepGreeting(nats: NatsConnection, channel: NatsChannel, signal: AbortSignal): Promise<void> {
    const catchUp = new BackOff({ firstMs: CATCH_UP_FIRST_MS, maxMs: HELLO_EVERY_MS });
    while (!signal.aborted) {
      let waitMs: number;
      let isGuest = false;
      const hello = this.#hello();
      try {
        const reply = await abortable(this.calls.hello(hello), signal);
        this.#silence.reset();
        const { signers } = this.#options.applier;
        const refusal = whyRefused(reply, { expected: this.nodeId, own: hello.node, signers });
        if (refusal === undefined) {
          await this.#accept(nats, reply);
          await this.#catchUp.run(reply, signal);
          waitMs = this.#options.areOthersConnected() ? HELLO_EVERY_MS : catchUp.next();
          if (waitMs === HELLO_EVERY_MS) catchUp.reset();
        } else {
          await this.#pulls.forget();
          this.#become(refused(refusal));
          waitMs = REFUSED_AGAIN_MS;
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#become(unanswered(this.#state, greetingFailure(error, this.nodeId)));
        waitMs = this.#silence.next();
        channel.knock(hello);
        isGuest = isForbidden(error);
      }
      await this.#helloBell.wait(signal, waitMs);
      // A server looks who one is when one connects.
      if (isGuest && !signal.aborted) await this.route.connection.renew();
    }
  }

  async #accept(nats: NatsConnection, { node, logs, logsLeftOut = 0, members }: HelloReply): Promise<void> {
    this.#seen.note();
    await this.#pulls.follow(node, nats);
    const wasOutOfReach = this.#state.kind === 'silent' && this.#state.wasOutOfReach;
    if (this.route.isThroughHub && wasOutOfReach) this.#pulls.startOver('it was out of reach');
    this.#pulls.noteLogs(logs);
    this.#options.holders.noteLogs(node, logs);
    if (logsLeftOut > 0 && this.#state.kind !== 'connected') this.#stateLog.noteLogsLeftOut(logsLeftOut);
    this.#become(accepted(node));
    this.#options.onMembers(members);
    this.#options.onAccepted();
  }

  #listen(nats: NatsConnection, subject: string, hear: (message: Msg) => void): () => void {
    const subscription = nats.subscribe(subject, {
      callback: (error, message) => {
        if (error === null) hear(message);
      },
    });
    return () => subscription.unsubscribe();
  }

  #hear(message: Msg): void {
    const announcement = parseMessage('announcement', message.data);
    if (announcement === undefined) return;
    this.#seen.note();
    switch (announcement.kind) {
      case 'stream':
        this.#pulls.wake();
        if (isNewStart(this.#state, announcement.instance)) this.lookAgain();
        return;
      case 'member':
        if (this.node !== undefined) this.#options.onMembers([announcement]);
        return;
      case 'want':
        this.#pulls.want(announcement.keygroup, announcement.sequence);
        return;
      case 'evicted':
        this.#options.holders.note(this.nodeId, announcement.log, announcement.through);
        return;
      default:
        announcement satisfies never;
    }
  }

  #hearBeacon(message: Msg): void {
    const beacon = decodeBeacon(message.data);
    if (beacon === undefined) return;
    this.#seen.note();
    if (beacon.incarnation === this.node?.incarnation) this.#pulls.noteBeacon(beacon);
    if (isBack(this.#state, beacon.incarnation)) this.lookAgain();
  }

  #become(state: PeerLinkState): void {
    const before = this.#state;
    this.#state = state;
    if (looksTheSame(before, state)) return;
    this.#stateLog.note(state);
    this.#options.onChange();
  }

  #hello(): Hello {
    return { kind: 'hello', node: this.#options.describe(), cursors: this.#pulls.cursors };
  }
}
