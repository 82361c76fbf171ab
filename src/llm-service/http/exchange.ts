import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Clock } from '../../environment/environment.ts';

export interface ExchangeOptions {
  readonly url: URL;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: string | undefined;
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

/**
 * One HTTP request and its reply, on a socket of their own: llama-server closes the socket after every streamed reply
 * though it advertises keep-alive, so a reused one is reset now and then.
 */
export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #clock: Clock;
  readonly #request: ClientRequest;
  /** The first reason to end; later ones, and the socket's own complaints, are its consequences. */
  #failure: { readonly reason: unknown } | undefined;
  #response: IncomingMessage | undefined;

  constructor(options: ExchangeOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    const request = options.url.protocol === 'https:' ? requestHttps : requestHttp;
    this.#request = request(options.url, { method: options.method, headers: options.headers, agent: false });
    // Errors are reported by whoever waits; one that nobody waits for must not end the process.
    this.#request.on('error', () => {});
  }

  /** Sends the request; resolves with the reply's status. */
  async send(): Promise<number> {
    const { url, body, connectTimeoutMs, errors } = this.#options;
    const connected = url.protocol === 'https:' ? 'secureConnect' : 'connect';
    const request = this.#request;
    try {
      await this.#within(
        connectTimeoutMs,
        errors.notConnected,
        new Promise<void>((resolve, reject) => {
          request.once('error', reject).once('socket', (socket) => socket.once(connected, resolve));
        }),
      );
      const response = new Promise<IncomingMessage>((resolve, reject) => {
        request.once('error', reject).once('response', resolve).end(body);
      });
      this.#response = await this.#within(this.#options.idleTimeoutMs, errors.silent, response);
      return this.#response.statusCode ?? 0;
    } catch (error) {
      throw this.#reasonOf(error);
    }
  }

  /**
   * What `parse` makes of the reply's bytes, as it comes. After `send`, once; `end` the exchange afterwards. The idle time counts from item to item:
   * bytes without a meaning (llama-server's pings) come from a server that hangs, too.
   */
  async *items<T>(parse: (bytes: AsyncIterable<Uint8Array>) => AsyncIterable<T>): AsyncGenerator<T> {
    const items = parse(this.#bytes())[Symbol.asyncIterator]();
    const { idleTimeoutMs, errors } = this.#options;
    for (;;) {
      const item = await this.#within(idleTimeoutMs, errors.silent, items.next());
      if (this.#failure !== undefined) throw this.#failure.reason;
      if (item.done === true) return;
      yield item.value;
    }
  }

  /** Closes the socket. Whoever waits for it, now or later, gets `reason`. */
  end(reason: unknown): void {
    this.#failure ??= { reason };
    this.#request.destroy();
  }

  async *#bytes(): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#response as IncomingMessage;
    } catch (error) {
      throw this.#reasonOf(error);
    }
  }

  #reasonOf(error: unknown): unknown {
    return this.#failure === undefined ? this.#options.errors.broken(error) : this.#failure.reason;
  }

  async #within<T>(waitMs: number, error: () => unknown, arrival: Promise<T>): Promise<T> {
    const cancel = this.#clock.after(waitMs, () => this.end(error()));
    try {
      return await arrival;
    } finally {
      cancel();
    }
  }
}
