import { setImmediate } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import type { Clock } from '../../environment/environment.ts';
import type { ConnectionPool } from './connection-pool.ts';
import { WaitWatch } from './wait-watch.ts';

export interface ExchangeOptions {
  /** With `reset` the server is told that no other request follows on the connection. */
  readonly request: Dispatcher.DispatchOptions;
  readonly connections: ConnectionPool;
  /** One wait for the next byte, while this side is reading. */
  readonly idleTimeoutMs: number;
  /** Of the reply, how much may have come that was not read. */
  readonly unreadBytesMax: number;
  /** What the exchange ends with when a wait or the room for what is not read is over, or on an error of the socket's or in the reply. */
  readonly errors: {
    silent(): unknown;
    unread(): unknown;
    broken(cause: Error, within: 'head' | 'body'): unknown;
  };
}

/** What is reported of a connection that the server had closed before it was used again. */
const CLOSED_BEFORE = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

/** A connection that the server was just closing shows it within a round trip; one that ends later was being worked on. */
const REPEAT_WITHIN_MS = 1_000;

/**
 * One HTTP request and its reply. A request that meets a kept connection which the server is just closing has not been read: it is
 * sent once more. So only requests are sent here that may be repeated; and not again what the server may have spent time on, or ended of.
 *
 * undici's `pause` is not used: when the server closes or resets a connection on which a last reply is held back, an assertion of
 * undici's ends the process (7.30.2). So what comes faster than it is read is kept here, within a bound.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #options: ExchangeOptions;
  readonly #clock: Clock;
  readonly #watch: WaitWatch;
  /** The first reason to end; later ones, and the socket's own complaints, are its consequences. */
  #failure: { readonly reason: unknown } | undefined;
  /** While the request is on a connection. */
  #controller: Dispatcher.DispatchController | undefined;
  /** A kept connection, the first time, of which nothing of the reply has come. */
  #mayRepeat = true;
  /** When the request was last put on a connection. */
  #startedMs = 0;
  #status: number | undefined;
  #isComplete = false;
  /** What of the body has come and was not read. */
  #unread: Buffer[] = [];
  #unreadBytes = 0;
  /** Wakes whoever waits for {@link #more}. */
  #wake = () => {};

  constructor(options: ExchangeOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#watch = new WaitWatch(clock);
  }

  /** Sends the request; resolves with the reply's status. */
  async send(): Promise<number> {
    // undici frees a connection a turn of the event loop after its reply: who asks again at once would be given another one.
    await setImmediate();
    this.#throwFailure();
    this.#dispatch();
    while (this.#status === undefined) await this.#more();
    this.#watch.pause();
    return this.#status;
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
      else if (this.#isComplete) break;
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
        } else if (this.#isComplete) return;
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
    if (!this.#isComplete) this.#controller?.abort(new Error('ended'));
    this.#wake();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#failure !== undefined) {
      controller.abort(new Error('ended'));
      return;
    }
    this.#controller = controller;
    this.#startedMs = this.#clock.monotonic();
    this.#mayRepeat &&= !this.#options.connections.isNew;
    this.#awaitMore();
  }

  /** Its first byte has come. */
  onResponseStarted(): void {
    this.#mayRepeat = false;
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number): void {
    // Of an interim reply: the one that counts follows.
    if (status < 200) return;
    this.#status = status;
    this.#wake();
  }

  onResponseData(_: Dispatcher.DispatchController, bytes: Buffer): void {
    const { unreadBytesMax, errors } = this.#options;
    this.#unread.push(bytes);
    this.#unreadBytes += bytes.length;
    if (this.#unreadBytes > unreadBytesMax) this.end(errors.unread());
    else this.#wake();
  }

  onResponseEnd(): void {
    this.#isComplete = true;
    this.#wake();
  }

  onResponseError(_: Dispatcher.DispatchController, error: NodeJS.ErrnoException): void {
    if (this.#failure !== undefined) return;
    if (this.#mayRepeat && this.#wasClosedBefore(error)) {
      this.#mayRepeat = false;
      this.#dispatch();
    } else this.end(this.#options.errors.broken(error, this.#status === undefined ? 'head' : 'body'));
  }

  #wasClosedBefore({ code = '' }: NodeJS.ErrnoException): boolean {
    const isEarly = this.#clock.monotonic() - this.#startedMs < REPEAT_WITHIN_MS;
    return this.#controller !== undefined && isEarly && CLOSED_BEFORE.has(code);
  }

  #dispatch(): void {
    const { connections, request } = this.#options;
    this.#controller = undefined;
    connections.dispatch(request, this);
  }

  #read(): Buffer[] {
    const unread = this.#unread;
    this.#unread = [];
    this.#unreadBytes = 0;
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
