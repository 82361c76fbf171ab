import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingMessage,
  type RequestOptions,
  request as requestHttp,
} from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { urlToHttpOptions } from 'node:url';
import type { Clock } from '../../environment/environment.ts';
import { WaitWatch } from './wait-watch.ts';

export interface ExchangeOptions {
  /** Where the server listens, as {@link destination} has it. */
  readonly to: Destination;
  /** Of the request, from its root. */
  readonly path: string;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: string | undefined;
  /** Where connections are kept from one exchange to the next. */
  readonly connections: KeptConnections;
  /** The server closes the connection with this reply, whatever it says: it is taken from the kept ones and not put back. */
  readonly isLast: boolean;
  /** Each is one wait: for the connection, and for the next byte while this side is reading. */
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** What the exchange ends with when a wait is over, or on an error of the socket's. */
  readonly errors: {
    notConnected(): unknown;
    silent(): unknown;
    broken(cause: unknown): unknown;
  };
}

export type KeptConnections = HttpAgent;

/** Taken from the URL once, as reading it is a tenth of what a request costs. */
export type Destination = Pick<RequestOptions, 'protocol' | 'hostname' | 'port' | 'auth'>;

export function destination(url: URL): Destination {
  const { protocol, hostname, port, auth } = urlToHttpOptions(url) as RequestOptions;
  return { protocol, hostname, port, auth };
}

/**
 * How long a connection is kept that nothing is sent on. Within a turn requests follow each other at once; a server with a fixed
 * number of threads has one taken by each, and closes it itself after five seconds (llama-server).
 */
const KEPT_UNUSED_MS = 1_000;

/** Connections of one server, of which at most `unusedMax` are kept while nothing is sent on them. */
export function keptConnections({ protocol }: URL, unusedMax: number): KeptConnections {
  const options = { keepAlive: true, maxFreeSockets: unusedMax, timeout: KEPT_UNUSED_MS };
  return protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options);
}

/** What a socket reports that the server had closed before it was used again. */
const CLOSED_BEFORE = new Set(['ECONNRESET', 'EPIPE']);

/**
 * One HTTP request and its reply. A request that meets a kept connection which the server is just closing has not been read: it is
 * sent once more, on a new one. So only requests are sent here that may be repeated.
 */
export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #watch: WaitWatch;
  /** The first reason to end; later ones, and the socket's own complaints, are its consequences. */
  #failure: { readonly reason: unknown } | undefined;
  #request: ClientRequest | undefined;
  #response: IncomingMessage | undefined;

  constructor(options: ExchangeOptions, clock: Clock) {
    this.#options = options;
    this.#watch = new WaitWatch(clock);
  }

  /** Sends the request; resolves with the reply's status. */
  async send(): Promise<number> {
    try {
      this.#response = await this.#ask(this.#options.connections).catch((error) => {
        if (this.#failure !== undefined || !this.#request?.reusedSocket || !CLOSED_BEFORE.has(error.code)) throw error;
        return this.#ask(false);
      });
      return this.#response.statusCode ?? 0;
    } catch (error) {
      throw this.#reasonOf(error);
    } finally {
      this.#watch.pause();
    }
  }

  #ask(agent: KeptConnections | false): Promise<IncomingMessage> {
    const { to, path, method, headers, body, isLast, connectTimeoutMs, idleTimeoutMs, errors } = this.#options;
    const isSecure = to.protocol === 'https:';
    const open = isSecure ? requestHttps : requestHttp;
    const sent = isLast ? { ...headers, connection: 'close' } : headers;
    const request = open({ ...to, path, method, headers: sent, agent });
    this.#request = request;
    return new Promise((resolve, reject) => {
      const onConnected = () => this.#watch.begin(idleTimeoutMs, () => this.end(errors.silent()));
      // An error after the reply has begun is the reply's; it must not end the process.
      request.on('error', reject).once('response', resolve);
      this.#watch.begin(connectTimeoutMs, () => this.end(errors.notConnected()));
      request.once('socket', (socket) => {
        if (request.reusedSocket) onConnected();
        else socket.once(isSecure ? 'secureConnect' : 'connect', onConnected);
      });
      request.end(body);
    });
  }

  /** The whole reply, once, after `send`; the connection is free again with its last byte. Ends with `tooLong()` beyond `bytesMax`. */
  async text(bytesMax: number, tooLong: () => unknown): Promise<string> {
    const response = this.#response as IncomingMessage;
    const chunks: Buffer[] = [];
    let length = 0;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#awaitMore();
        response.on('data', (chunk: Buffer) => {
          length += chunk.length;
          if (length > bytesMax) this.end(tooLong());
          else chunks.push(chunk);
          this.#awaitMore();
        });
        response.once('end', resolve).once('error', reject);
      });
    } catch (error) {
      throw this.#reasonOf(error);
    } finally {
      this.#watch.pause();
    }
    return (chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)).toString('utf8');
  }

  /**
   * What `parse` makes of the reply's bytes, as it comes, without empty batches. After `send`, once; `end` the exchange afterwards.
   * The idle time counts from batch to batch: bytes without a meaning (llama-server's pings) come from a server that hangs, too.
   */
  async *batches<T>(parse: (bytes: Uint8Array) => readonly T[]): AsyncGenerator<readonly T[]> {
    this.#awaitMore();
    try {
      for await (const bytes of this.#response as IncomingMessage) {
        const batch = parse(bytes);
        if (batch.length === 0) continue;
        this.#watch.pause();
        yield batch;
        if (this.#failure !== undefined) throw this.#failure.reason;
        this.#awaitMore();
      }
    } catch (error) {
      throw this.#reasonOf(error);
    } finally {
      this.#watch.pause();
    }
  }

  /** Closes the connection, unless the whole reply has been read. Whoever waits for it, now or later, gets `reason`. */
  end(reason: unknown): void {
    this.#failure ??= { reason };
    this.#watch.stop();
    if (this.#response?.readableEnded !== true) this.#request?.destroy();
  }

  #awaitMore(): void {
    if (this.#failure !== undefined) return;
    const { idleTimeoutMs, errors } = this.#options;
    this.#watch.begin(idleTimeoutMs, () => this.end(errors.silent()));
  }

  #reasonOf(error: unknown): unknown {
    return this.#failure === undefined ? this.#options.errors.broken(error) : this.#failure.reason;
  }
}
