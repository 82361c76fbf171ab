import type { Msg, NatsConnection } from '@nats-io/transport-node';
import type { KeygroupId, NodeId } from '../../domain/identifiers.ts';
import type { Environment } from '../../environment/environment.ts';
import { abortable } from '../../waiting/abortable.ts';
import { BackOff } from '../../waiting/back-off.ts';
import { Bell } from '../../waiting/bell.ts';
import type { PeerState, PeerStatus } from '../context-store.ts';
import { logText, type OriginLog } from '../lmdb/origin-log.ts';
import type { ReplicaStore } from '../lmdb/replica.ts';
import type { Applier } from './applier.ts';
import { backFill, type Holder } from './back-fill.ts';
import { greetingFailure, isForbidden } from './failure-text.ts';
import { announceSubject, beaconSubject } from './names.ts';
import type { ConnectionUser } from './nats-connection.ts';
import { PeerCalls } from './peer-calls.ts';
import {
  decodeBeacon,
  describedNode,
  type Hello,
  type HelloReply,
  LOGS_MAX,
  type Member,
  type NodeAnnouncement,
  parseMessage,
} from './peer-protocol.ts';
import { PeerPulls } from './peer-pulls.ts';
import { whyRefused } from './peer-refusal.ts';
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
/** Of a peer that is not connected, logged until it is again: the later ones are in the node directory. */
const REASONS_LOGGED_MAX = 4;
const NOT_GREETED = 'not greeted yet';

export interface PeerLinkOptions {
  readonly nodeId: NodeId;
  readonly route: PeerRoute;
  readonly keygroups: readonly KeygroupId[];
  readonly replica: ReplicaStore;
  readonly applier: Applier;
  /** What this node says of itself. */
  readonly describe: () => NodeAnnouncement;
  /** The peer as it was accepted before this process started. */
  readonly known: NodeAnnouncement | undefined;
  readonly onAccepted: () => void;
  /** The peer has told of nodes that it knows. */
  readonly onMembers: (members: readonly Member[]) => void;
  /** Something about the connection has changed. */
  readonly onChange: () => void;
  /** Whether the node behind a log is connected, and with that disk: then it hands out its records itself. */
  readonly isOriginConnected: (log: OriginLog) => boolean;
  /** Runs one such work after the other: what one peer has handed out, the next one need not. */
  readonly oneAtATime: (work: () => Promise<void>) => Promise<void>;
  /** Whether all other nodes of the cluster can be reached. */
  readonly areOthersConnected: () => boolean;
  /** Others that may hold records of the peer. */
  readonly otherHolders: () => Holder[];
}

/**
 * Records that a node may have written since the copy of its disk that was put back: years of turns. Its log moves past what
 * peers claim to have, and a false claim must not use up the numbers.
 */
const OWN_RECORDS_MISSED_MAX = 100_000_000;
/** Lists gone through that are remembered; a greeting names at most as many logs. To forget one costs asking again. */
const LOGS_LISTED_MAX = LOGS_MAX;

/** Everything between this node and one peer. */
export class PeerLink {
  readonly nodeId: NodeId;
  readonly calls: PeerCalls;
  readonly #options: PeerLinkOptions;
  readonly #environment: Environment;
  readonly #use: ConnectionUser;
  readonly #pulls: PeerPulls;
  readonly #helloBell: Bell;
  /** Logs of third nodes: how far this peer's list of them has been gone through. */
  readonly #listed = new Map<string, number>();
  /** Outlives a connection: a server that does not let this node in yet drops it each time. */
  readonly #silence = new BackOff({ firstMs: HELLO_AGAIN_FIRST_MS, maxMs: HELLO_AGAIN_MAX_MS });
  #cancelBeaconWatch = () => {};
  #wasOutOfReach = false;
  #accepted: NodeAnnouncement | undefined;
  #lastSeenMs: number | undefined;
  /** Why it is not connected, as the log says already. */
  readonly #reasonsLogged = new Set<string>();
  #state: PeerState = 'unreachable';
  #reason: string | undefined;

  constructor(options: PeerLinkOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    this.nodeId = options.nodeId;
    this.#accepted = options.known;
    this.#helloBell = new Bell(environment.clock);
    this.calls = new PeerCalls(options.nodeId);
    this.#pulls = new PeerPulls({ ...options, api: options.route.api, peer: this.calls }, environment);
    this.#use = {
      session: (nats, signal) => this.#session(nats, signal),
      onDown: (reason) => this.#become('unreachable', reason),
    };
  }

  get route(): PeerRoute {
    return this.#options.route;
  }

  get state(): PeerState {
    return this.#state;
  }

  /** The peer as it last described itself, and was accepted. */
  get node(): NodeAnnouncement | undefined {
    return this.#accepted;
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

  status(): PeerStatus {
    const { url, connection } = this.route;
    const node = this.#accepted;
    const { in: bytesIn, out: bytesOut } = connection.bytes;
    return {
      nodeId: this.nodeId,
      url,
      state: this.#state,
      reason: this.#reason,
      lastSeenMs: this.#lastSeenMs,
      node: node && describedNode(node),
      logs: this.#pulls.status,
      refusedRecords: this.#options.applier.refusedBy(this.nodeId),
      bytesIn,
      bytesOut,
    };
  }

  async #session(nats: NatsConnection, signal: AbortSignal): Promise<void> {
    this.calls.use(nats);
    const heard = [this.#listen(nats, announceSubject(this.nodeId), (message) => this.#hear(message))];
    if (this.route.isThroughHub)
      heard.push(this.#listen(nats, beaconSubject(this.nodeId), (message) => this.#hearBeacon(message)));
    this.#become('silent', NOT_GREETED);
    try {
      // A node whose process is down still has its records handed out by its server.
      if (this.#accepted !== undefined) await this.#pulls.follow(this.#accepted, nats);
      await this.#keepGreeting(nats, signal);
    } finally {
      this.calls.use(undefined);
      this.#cancelBeaconWatch();
      for (const stop of heard) stop();
      await this.#pulls.stop();
    }
  }

  async #keepGreeting(nats: NatsConnection, signal: AbortSignal): Promise<void> {
    const catchUp = new BackOff({ firstMs: CATCH_UP_FIRST_MS, maxMs: HELLO_EVERY_MS });
    while (!signal.aborted) {
      let waitMs: number;
      let isGuest = false;
      const hello = this.#hello();
      try {
        const reply = await abortable(this.calls.hello(hello), signal);
        this.#silence.reset();
        const refusal = whyRefused(reply, { expected: this.nodeId, own: hello.node });
        if (refusal === undefined) {
          await this.#accept(nats, reply);
          await this.#catchUp(reply, signal);
          waitMs = this.#options.areOthersConnected() ? HELLO_EVERY_MS : catchUp.next();
          if (waitMs === HELLO_EVERY_MS) catchUp.reset();
        } else {
          await this.#pulls.forget();
          this.#accepted = undefined;
          this.#become('refused', refusal);
          waitMs = REFUSED_AGAIN_MS;
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#become('silent', greetingFailure(error, this.nodeId));
        waitMs = this.#silence.next();
        this.calls.knock(hello);
        this.#wasOutOfReach = true;
        isGuest = isForbidden(error);
      }
      await this.#helloBell.wait(signal, waitMs);
      // A server looks who one is when one connects.
      if (isGuest && !signal.aborted) await this.route.connection.renew();
    }
  }

  async #accept(nats: NatsConnection, { node, logs, members }: HelloReply): Promise<void> {
    this.#seen();
    this.#accepted = node;
    await this.#pulls.follow(node, nats);
    if (this.route.isThroughHub && this.#wasOutOfReach) this.#pulls.startOver('it was out of reach');
    this.#wasOutOfReach = false;
    this.#pulls.noteLogs(logs);
    this.#become('connected', undefined);
    this.#options.onMembers(members);
    this.#options.onAccepted();
  }

  /** Records of nodes that do not hand them out themselves: away, dead, or of a disk that is no more. */
  async #catchUp({ logs }: HelloReply, signal: AbortSignal): Promise<void> {
    const { keygroups, replica, applier, isOriginConnected } = this.#options;
    for (const { log, last } of logs) {
      if (!keygroups.includes(log.keygroup) || isOriginConnected(log)) continue;
      const work = this.#options.oneAtATime(async () => {
        const after = Math.max(replica.cursor(log).sequence, this.#listed.get(logText(log)) ?? 0);
        if (last <= after || signal.aborted) return;
        const isOwn = log.origin === replica.nodeId && log.incarnation === replica.incarnation;
        if (isOwn && last - after > OWN_RECORDS_MISSED_MAX) {
          this.#environment.logger.error('peer_claims_too_much', { peer: this.nodeId, last: after, known: last });
          return;
        }
        // That peers know more of an own log than this node does tells that an older copy of its disk was put back.
        if (isOwn) this.#environment.logger.error('store_rolled_back', { last: after, known: last });
        await backFill({ log, holder: this.calls, after, through: last, isOrigin: isOwn }, { replica, applier });
        if (this.#listed.size >= LOGS_LISTED_MAX) this.#listed.clear();
        this.#listed.set(logText(log), last);
      });
      await abortable(work, signal);
    }
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
    this.#seen();
    switch (announcement.kind) {
      case 'stream':
        this.#pulls.wake();
        if (announcement.instance !== this.#accepted?.instance || this.#state !== 'connected') this.lookAgain();
        return;
      case 'member':
        if (this.#accepted !== undefined) this.#options.onMembers([announcement]);
        return;
      case 'want':
        this.#pulls.want(announcement.keygroup, announcement.sequence);
        return;
      default:
        announcement satisfies never;
    }
  }

  #hearBeacon(message: Msg): void {
    const beacon = decodeBeacon(message.data);
    if (beacon === undefined) return;
    this.#seen();
    const isKnown = beacon.incarnation === this.#accepted?.incarnation;
    if (isKnown) this.#pulls.noteBeacon(beacon);
    if (this.#state === 'silent' || (this.#state === 'connected' && !isKnown)) this.lookAgain();
  }

  #seen(): void {
    const { clock } = this.#environment;
    this.#lastSeenMs = clock.now();
    if (!this.route.isThroughHub) return;
    this.#cancelBeaconWatch();
    // Nothing else would tell that the peer, or the way to it, is gone.
    this.#cancelBeaconWatch = clock.after(BEACON_MISSED_MS, () => this.lookAgain());
  }

  #become(state: PeerState, reason: string | undefined): void {
    if (state === this.#state && reason === this.#reason) return;
    this.#logState(state, reason);
    this.#state = state;
    this.#reason = reason;
    this.#options.onChange();
  }

  #logState(state: PeerState, reason: string | undefined): void {
    const { logger } = this.#environment;
    const peer = this.nodeId;
    if (state === 'connected') {
      this.#reasonsLogged.clear();
      logger.info('peer_connected', { peer });
      return;
    }
    const why = reason ?? '';
    if (why === NOT_GREETED || this.#reasonsLogged.has(why) || this.#reasonsLogged.size >= REASONS_LOGGED_MAX) return;
    this.#reasonsLogged.add(why);
    if (state === 'refused') logger.error('peer_refused', { peer, reason });
    else logger.warn('peer_not_connected', { peer, state, reason });
  }

  #hello(): Hello {
    return { kind: 'hello', node: this.#options.describe(), cursors: this.#pulls.cursors };
  }
}
