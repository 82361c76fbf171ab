import type { Socket } from 'node:net';
import { buildConnector, type Dispatcher, Pool } from 'undici';
import type { Clock } from '../../environment/environment.ts';

/**
 * How long a connection is kept that nothing is sent on. Within a turn requests follow each other at once; a server with a fixed
 * number of threads has one taken by each, and closes it itself after five seconds (llama-server).
 */
const KEPT_UNUSED_MS = 1_000;
/** Node.js's own bound for what comes before a body. */
const HEAD_BYTES_MAX = 16 * 1024;

export interface ConnectionPoolOptions {
  readonly connectTimeoutMs: number;
  /** What a request fails with whose connection is not made in time. */
  readonly notConnected: () => Error;
  readonly clock: Clock;
}

/** Connections to one server, each for one request after the other. How long a reply may take is left to who asks. */
export class ConnectionPool {
  readonly #options: ConnectionPoolOptions;
  readonly #pool: Pool;
  /** Those that are not made yet, with what ends the wait for each. */
  readonly #connecting = new Map<Socket, () => void>();
  #isNew = false;
  /** Of TLS, so that the next handshake is short; undici's own cache holds it weakly. */
  #session: Buffer | undefined;

  constructor(url: URL, options: ConnectionPoolOptions) {
    this.#options = options;
    this.#pool = new Pool(url.origin, {
      connect: (to, connected) => this.#open(to, connected),
      pipelining: 1,
      keepAliveTimeout: KEPT_UNUSED_MS,
      keepAliveMaxTimeout: KEPT_UNUSED_MS,
      maxHeaderSize: HEAD_BYTES_MAX,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /** Within `onRequestStart`: whether nothing was sent on the connection before. */
  get isNew(): boolean {
    return this.#isNew;
  }

  dispatch(request: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#pool.dispatch(request, handler);
  }

  /** Closes all of them, those under way too. */
  close(): void {
    for (const [socket, stop] of this.#connecting) {
      stop();
      socket.destroy();
    }
    void this.#pool.destroy();
  }

  #open(to: buildConnector.Options, connected: buildConnector.Callback): void {
    const { connectTimeoutMs, notConnected, clock } = this.#options;
    const session = this.#session;
    const connect = buildConnector({ timeout: 0, maxCachedSessions: 0, ...(session && { session }) }) as Connect;
    const socket = connect(to, (...made) => {
      stop();
      // The request that waits for the connection is sent within this call.
      this.#isNew = true;
      connected(...made);
      this.#isNew = false;
    });
    const cancel = clock.after(connectTimeoutMs, () => socket.destroy(notConnected()));
    const stop = () => {
      cancel();
      this.#connecting.delete(socket);
    };
    this.#connecting.set(socket, stop);
    socket.on('session', (latest: Buffer) => {
      this.#session = latest;
    });
  }
}

/** What undici's types leave out: it returns the socket at once. */
type Connect = (...to: Parameters<buildConnector.connector>) => Socket;
