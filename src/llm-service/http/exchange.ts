import type { Clock } from '../../environment/environment.ts';
import { HttpReply } from './http-reply.ts';
import type { Connection, KeptConnections } from './kept-connections.ts';
import { WaitWatch } from './wait-watch.ts';

export interface ExchangeOptions {
  /** The whole request, as it is sent. */
  readonly request: string;
  /** Where connections are kept from one exchange to the next. */
  readonly connections: KeptConnections;
  /** The server closes the connection with this reply, whatever it says: it is taken from the kept ones and not put back. */
  readonly isLast: boolean;
  /** Each is one wait: for the connection, and for the next byte while this side is reading. */
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** What the exchange ends with when a wait is over, or on an error of the socket's or in the reply. */
  readonly errors: {
    notConnected(): unknown;
    silent(): unknown;
    broken(cause: Error): unknown;
  };
}

/** What a socket reports that the server had closed before it was used again. */
const CLOSED_BEFORE = new Set(['ECONNRESET', 'EPIPE']);
/** Of a reply that comes faster than it is read. Beyond that the server has to wait. */
const UNREAD_BYTES_MAX = 256 * 1024;

/**
 * One HTTP request and its reply. A request that meets a kept connection which the server is just closing has not been read: it is
 * sent once more, on a new one. So only requests are sent here that may be repeated.
 */
export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #watch: WaitWatch;
  readonly #reply = new HttpReply();
  /** The first reason to end; later ones, and the socket's own complaints, are its consequences. */
  #failure: { readonly reason: unknown } | undefined;
  #connection: Connection | undefined;
  /** Whether anything of the reply has come. */
  #hasBegun = false;
  /** What of the body has come and was not read. */
  #unread: Buffer[] = [];
  #unreadBytes = 0;
  /** Wakes whoever waits for {@link #more}. */
  #wake = () => {};

  constructor(options: ExchangeOptions, clock: Clock) {
    this.#options = options;
    this.#watch = new WaitWatch(clock);
  }

  /** Sends the request; resolves with the reply's status. */
  async send(): Promise<number> {
    this.#ask(this.#options.connections.take());
    while (this.#reply.status === undefined) await this.#more();
    this.#watch.pause();
    return this.#reply.status;
  }

  /** The whole reply, once, after `send`; the connection is free again with its last byte. Ends with `tooLong()` beyond `bytesMax`. */
  async text(bytesMax: number, tooLong: () => unknown): Promise<string> {
    const pieces: Buffer[] = [];
    let length = 0;
    for (;;) {
      for (const piece of this.#read()) {
        pieces.push(piece);
        length += piece.length;
      }
      if (length > bytesMax) this.end(tooLong());
      else if (this.#reply.isComplete) break;
      this.#awaitMore();
      await this.#more();
    }
    this.#watch.pause();
    return (pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces)).toString('utf8');
  }

  /**
   * What `parse` makes of the reply's bytes, as it comes, without empty batches. After `send`, once; `end` the exchange afterwards.
   * The idle time counts from batch to batch: bytes without a meaning (llama-server's pings) come from a server that hangs, too.
   */
  async *batches<T>(parse: (bytes: Uint8Array) => readonly T[]): AsyncGenerator<readonly T[]> {
    this.#awaitMore();
    try {
      for (;;) {
        const batch = this.#read().flatMap((bytes) => parse(bytes));
        if (batch.length > 0) {
          this.#watch.pause();
          yield batch;
          this.#awaitMore();
        } else if (this.#reply.isComplete) return;
        else await this.#more();
      }
    } finally {
      this.#watch.pause();
    }
  }

  /** Closes the connection, unless the whole reply has come. Whoever waits for it, now or later, gets `reason`. */
  end(reason: unknown): void {
    this.#failure ??= { reason };
    this.#watch.stop();
    if (!this.#reply.isComplete) this.#connection?.socket.destroy();
    this.#wake();
  }

  #ask(connection: Connection): void {
    const { request, connectTimeoutMs, errors } = this.#options;
    this.#connection = connection;
    if (connection.isKept) this.#awaitMore();
    else this.#watch.begin(connectTimeoutMs, () => this.end(errors.notConnected()));
    connection.send(request, {
      connected: () => this.#awaitMore(),
      bytes: (bytes) => this.#take(connection, bytes),
      closed: (error) => this.#closed(connection, error),
    });
  }

  #take(connection: Connection, bytes: Buffer): void {
    this.#hasBegun = true;
    try {
      for (const piece of this.#reply.push(bytes)) {
        this.#unread.push(piece);
        this.#unreadBytes += piece.length;
      }
    } catch (error) {
      this.end(this.#options.errors.broken(error as Error));
      connection.socket.destroy();
      return;
    }
    const { connections, isLast } = this.#options;
    if (!this.#reply.isComplete) {
      if (this.#unreadBytes > UNREAD_BYTES_MAX) connection.socket.pause();
    } else if (this.#reply.isKept && !isLast) connections.giveBack(connection);
    else connection.socket.destroy();
    this.#wake();
  }

  /** Without an error the server has closed the connection in good order. */
  #closed(connection: Connection, error: NodeJS.ErrnoException | undefined): void {
    if (this.#failure !== undefined || this.#reply.isComplete) return;
    const { connections, errors } = this.#options;
    const wasClosedBefore = error === undefined || CLOSED_BEFORE.has(error.code ?? '');
    if (connection.isKept && !this.#hasBegun && wasClosedBefore) {
      this.#ask(connections.open());
      return;
    }
    try {
      if (error !== undefined) throw error;
      if (!this.#reply.close()) throw new Error(this.#hasBegun ? 'closed within a reply' : 'closed without a reply');
      this.#wake();
    } catch (reason) {
      this.end(errors.broken(reason as Error));
    }
  }

  #read(): Buffer[] {
    const unread = this.#unread;
    if (unread.length === 0) return unread;
    this.#unread = [];
    this.#unreadBytes = 0;
    if (!this.#reply.isComplete) this.#connection?.socket.resume();
    return unread;
  }

  /** Resolves when something has come, or the reply is complete. Throws what the exchange has ended with. */
  async #more(): Promise<void> {
    if (this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.reason;
  }

  #awaitMore(): void {
    this.#throwFailure();
    const { idleTimeoutMs, errors } = this.#options;
    this.#watch.begin(idleTimeoutMs, () => this.end(errors.silent()));
  }
}
