import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { connect, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node';
import type { NodeId } from '../../domain/identifiers.ts';
import type { Environment } from '../../environment/environment.ts';
import { BackOff } from '../../waiting/back-off.ts';
import { pause } from '../../waiting/pause.ts';
import { connectionFailure } from './failure-text.ts';
import { inboxPrefix, nodesNamedIn } from './names.ts';
import type { NatsServerTls } from './server/server-config.ts';
import './socket-errors.ts';

/** First answer of a server. Longer than a TLS handshake at 300 ms delay with losses. */
const CONNECT_WAIT_MS = 5_000;
const RECONNECT_WAIT_MS = 500;
const RECONNECT_JITTER_MS = 200;
/** A dead peer is found within two of these; 883 B a minute. */
const PING_EVERY_MS = 14_000;
const PINGS_OUT_MAX = 1;
/** While a server cannot be reached at all. */
const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 5_000;

export interface NatsConnectionOptions {
  readonly url: string;
  /** Who connects. */
  readonly nodeId: NodeId;
  readonly tls: Omit<NatsServerTls, 'cluster'> | undefined;
  /** Whose server it is; `undefined` where it need not be any node's. */
  readonly peer?: NodeId | undefined;
}

/**
 * Beside the host, which is a machine's: a certificate that names another node is not this peer's, whatever the node says that
 * listens there. One that names none is of a server that no node runs. The client hands all this on to Node.js.
 */
function identityCheck(peer: NodeId | undefined): object {
  if (peer === undefined) return {};
  return {
    checkServerIdentity(host: string, certificate: PeerCertificate): Error | undefined {
      const named = nodesNamedIn(certificate.subjectaltname).map(({ nodeId }) => nodeId);
      if (named.length > 0 && !named.includes(peer))
        return new Error(`its certificate is ${named.join(' and ')}'s, not ${peer}'s`);
      return checkServerIdentity(host, certificate);
    },
  };
}

/** Whoever has something to do over a connection. */
export interface ConnectionUser {
  /** Runs while the connection is up; `signal` aborts when it is lost. Called again for the next one. */
  readonly onUp: (nats: NatsConnection, signal: AbortSignal) => Promise<void>;
  /** Called when a connection is lost or does not come about. */
  readonly onDown?: (reason: string) => void;
}

interface RunningWork {
  readonly end: AbortController;
  readonly done: Promise<void>;
}

/** One connection to one nats-server that never gives up; several may use it. */
export class NatsServerConnection {
  readonly #options: NatsConnectionOptions;
  readonly #environment: Environment;
  readonly #closed = new AbortController();
  readonly #users = new Map<ConnectionUser, RunningWork | undefined>();
  #nats: NatsConnection | undefined;
  #isUp = false;
  #earlierBytes = { in: 0, out: 0 };
  #otherUrl: string | undefined;
  #running: Promise<void> | undefined;

  constructor(options: NatsConnectionOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
  }

  get isConnected(): boolean {
    return this.#isUp;
  }

  /** Payload of all messages, without what NATS, TLS and TCP put around it. */
  get bytes(): { readonly in: number; readonly out: number } {
    const stats = this.#nats?.stats();
    return {
      in: this.#earlierBytes.in + (stats?.inBytes ?? 0),
      out: this.#earlierBytes.out + (stats?.outBytes ?? 0),
    };
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** From now on `user` is told whenever the connection is up. */
  join(user: ConnectionUser): void {
    this.#users.set(user, undefined);
    if (this.#isUp && this.#nats !== undefined) this.#begin(user, this.#nats);
  }

  /** Resolves when what it does over the connection has ended. */
  async leave(user: ConnectionUser): Promise<void> {
    const work = this.#users.get(user);
    this.#users.delete(user);
    work?.end.abort();
    await work?.done;
  }

  /** Connects anew: the server may know this node by now. */
  async renew(): Promise<void> {
    await this.#nats?.reconnect();
  }

  /** The server may be found here, too, should it not answer at its first address: it may have moved. */
  async alsoAt(url: string): Promise<void> {
    if (url === this.#options.url || url === this.#otherUrl) return;
    this.#otherUrl = url;
    // The client keeps to the addresses that it began with.
    if (!this.#isUp) await this.#nats?.close();
  }

  async close(): Promise<void> {
    this.#closed.abort();
    const ended = this.#endWork();
    await this.#nats?.close();
    await ended;
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock } = this.#environment;
    const { signal } = this.#closed;
    const backOff = new BackOff({ firstMs: RETRY_FIRST_MS, maxMs: RETRY_MAX_MS });
    while (!signal.aborted) {
      try {
        const nats = await connect(this.#connectOptions());
        backOff.reset();
        await this.#serve(nats);
      } catch (error) {
        this.#tellDown(error);
      }
      await pause(clock, backOff.next(), signal);
    }
  }

  /** Resolves when the client has given the connection up for good, which it does when it is refused. */
  async #serve(nats: NatsConnection): Promise<void> {
    this.#nats = nats;
    try {
      if (this.#closed.signal.aborted) return;
      this.#beginWork(nats);
      for await (const status of nats.status()) {
        if (status.type === 'disconnect') {
          await this.#endWork();
          this.#tellDown('connection lost');
        } else if (status.type === 'reconnect') {
          await this.#endWork();
          this.#beginWork(nats);
        }
      }
    } finally {
      await nats.close();
      await this.#endWork();
      const { inBytes, outBytes } = nats.stats();
      this.#earlierBytes = { in: this.#earlierBytes.in + inBytes, out: this.#earlierBytes.out + outBytes };
      this.#nats = undefined;
      this.#tellDown((await nats.closed()) ?? 'connection closed');
    }
  }

  #tellDown(reason: unknown): void {
    if (this.#closed.signal.aborted) return;
    const text = connectionFailure(reason, { hasCertificates: this.#options.tls !== undefined });
    for (const user of this.#users.keys()) user.onDown?.(text);
  }

  #beginWork(nats: NatsConnection): void {
    if (this.#closed.signal.aborted) return;
    this.#isUp = true;
    for (const user of this.#users.keys()) this.#begin(user, nats);
  }

  #begin(user: ConnectionUser, nats: NatsConnection): void {
    const end = new AbortController();
    const done = user.onUp(nats, end.signal).catch((error) => {
      if (!end.signal.aborted) this.#environment.logger.error('replication_failed', {}, error);
    });
    this.#users.set(user, { end, done });
  }

  async #endWork(): Promise<void> {
    this.#isUp = false;
    const running = [...this.#users.values()];
    for (const user of this.#users.keys()) this.#users.set(user, undefined);
    for (const work of running) work?.end.abort();
    await Promise.all(running.map((work) => work?.done));
  }

  #connectOptions(): NodeConnectionOptions {
    const { url, nodeId, tls } = this.#options;
    return {
      servers: this.#otherUrl === undefined ? url : [url, this.#otherUrl],
      noRandomize: true,
      name: nodeId,
      inboxPrefix: inboxPrefix(nodeId),
      ...(tls && {
        tls: { certFile: tls.certFile, keyFile: tls.keyFile, caFile: tls.caFile, ...identityCheck(this.#options.peer) },
      }),
      timeout: CONNECT_WAIT_MS,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_WAIT_MS,
      reconnectJitter: RECONNECT_JITTER_MS,
      reconnectJitterTLS: RECONNECT_JITTER_MS,
      pingInterval: PING_EVERY_MS,
      maxPingOut: PINGS_OUT_MAX,
      // The servers of a cluster announced by a peer's server are not that peer.
      ignoreClusterUpdates: true,
    };
  }
}
