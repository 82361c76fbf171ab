import type { NatsConnection } from '@nats-io/transport-node';
import type { KeygroupId } from '../../../domain/identifiers.ts';
import type { Environment } from '../../../environment/environment.ts';
import { pause } from '../../../waiting/pause.ts';
import type { OriginLog } from '../../leveldb/log/origin-log.ts';
import { type Announcement, encodeMessage } from '../../replication/peers/peer-protocol.ts';
import type { PeerRequestsParts } from '../../replication/peers/peer-requests.ts';
import type { OutboxStatus } from '../../replication-status.ts';
import {
  announceSubject,
  backfillSubject,
  beaconSubject,
  knockSubject,
  limitedBackfillSubjects,
  limitedNodeAt,
} from '../names.ts';
import { type NatsConnectionOptions, NatsServerConnection } from '../nats-connection.ts';
import { encodeBeacon } from '../peers/beacon.ts';
import { hearKnock, hearRequest, type KnockParts } from '../peers/heard-requests.ts';
import { Publisher } from './publisher.ts';

export interface HomeServerOptions extends Omit<PeerRequestsParts, 'onCheck'>, KnockParts {
  readonly url: string;
  readonly tls: NatsConnectionOptions['tls'];
  readonly keygroups: readonly KeygroupId[];
  readonly maxAgeMs: number;
  /** Whether nodes behind a hub listen, which see no connection of this server's come and go. */
  readonly hasHub: () => boolean;
  /** Starts the server anew, where this node runs it. */
  readonly restart: (() => void) | undefined;
}

/** 4.4 kB a minute to each node behind the same hub. */
const BEACON_EVERY_MS = 10_000;

/** This node's own nats-server: what it publishes, says and answers there. */
export class HomeServer {
  /** Peers behind the same hub are reached over it, too. */
  readonly connection: NatsServerConnection;
  readonly #options: HomeServerOptions;
  readonly #environment: Environment;
  readonly #publishers: readonly Publisher[];
  #nats: NatsConnection | undefined;
  #isToldDown = false;

  constructor(options: HomeServerOptions, environment: Environment) {
    const { url, tls, replica, keygroups, maxAgeMs } = options;
    const { instance } = options.describe();
    const { nodeId, incarnation } = replica;
    this.#options = options;
    this.#environment = environment;
    this.#publishers = keygroups.map(
      (keygroup) =>
        new Publisher(
          {
            log: { origin: nodeId, incarnation, keygroup },
            replica,
            maxAgeMs,
            onReady: () => this.announce({ kind: 'stream', keygroup, incarnation, instance }),
            onStuck: () => this.#unstick(),
          },
          environment,
        ),
    );
    this.connection = new NatsServerConnection({ url, nodeId, tls }, environment);
    this.connection.join({
      onUp: (nats, signal) => this.#whileUp(nats, signal),
      onDown: (reason) => this.#tellDown(reason),
    });
  }

  get isConnected(): boolean {
    return this.connection.isConnected;
  }

  get outbox(): OutboxStatus[] {
    const { replica } = this.#options;
    return this.#publishers.map(({ log, published, uncarried }) => ({
      keygroup: log.keygroup,
      last: replica.cursor(log).sequence,
      published,
      uncarried: uncarried.size,
    }));
  }

  /** Records of an own log that no message can carry. */
  uncarried({ keygroup }: OriginLog): ReadonlySet<number> {
    return this.#publishers.find(({ log }) => log.keygroup === keygroup)?.uncarried ?? new Set();
  }

  start(): void {
    this.connection.start();
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  /** There may be something to publish. */
  wake(): void {
    for (const publisher of this.#publishers) publisher.wake();
  }

  /** Heard by the peers that are connected now. */
  announce(announcement: Announcement): void {
    try {
      this.#nats?.publish(announceSubject(this.#options.replica.nodeId), encodeMessage(announcement));
    } catch {}
  }

  /**
   * A disk that was full does this to a server, for good: 2.15 refuses to write to the stream until it is started again,
   * 2.9 hangs.
   */
  #unstick(): void {
    const { restart } = this.#options;
    this.#environment.logger.error('nats_server_stuck', { restarts: restart !== undefined });
    restart?.();
  }

  /** Once for each time that it goes away, however often it is tried again. */
  #tellDown(reason: string): void {
    if (!this.#isToldDown) this.#environment.logger.warn('nats_server_unreachable', { reason });
    this.#isToldDown = true;
  }

  async #whileUp(nats: NatsConnection, signal: AbortSignal): Promise<void> {
    this.#nats = nats;
    this.#isToldDown = false;
    const parts: PeerRequestsParts = {
      ...this.#options,
      onCheck: (keygroup) => this.#publishers.find(({ log }) => log.keygroup === keygroup)?.lookAgain(),
    };
    const requests = nats.subscribe(backfillSubject(this.#options.replica.nodeId), {
      callback: (error, message) => {
        if (error === null) hearRequest(parts, nats, message);
      },
    });
    const limitedRequests = nats.subscribe(limitedBackfillSubjects(this.#options.replica.nodeId), {
      callback: (error, message) => {
        if (error === null) hearRequest(parts, nats, message, limitedNodeAt(message.subject));
      },
    });
    const knocks = nats.subscribe(knockSubject(this.#options.replica.nodeId), {
      callback: (error, message) => {
        if (error === null) hearKnock(this.#options, message);
      },
    });
    try {
      await Promise.all([
        ...this.#publishers.map((publisher) => publisher.run(nats, signal)),
        this.#keepBeacon(nats, signal),
      ]);
    } finally {
      this.#nats = undefined;
      requests.unsubscribe();
      limitedRequests.unsubscribe();
      knocks.unsubscribe();
    }
  }

  async #keepBeacon(nats: NatsConnection, signal: AbortSignal): Promise<void> {
    const { replica, hasHub } = this.#options;
    while (!signal.aborted) {
      if (hasHub()) {
        const published = this.#publishers.map((publisher) => publisher.published);
        const beacon = encodeBeacon({ incarnation: replica.incarnation, published });
        try {
          nats.publish(beaconSubject(replica.nodeId), beacon);
        } catch {}
      }
      await pause(this.#environment.clock, BEACON_EVERY_MS, signal);
    }
  }
}
