import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { urlToHttpOptions } from 'node:url';
import type { Clock } from '../../environment/environment.ts';

/**
 * How long a connection is kept that nothing is sent on. Within a turn requests follow each other at once; a server with a fixed
 * number of threads has one taken by each, and closes it itself after five seconds (llama-server).
 */
const KEPT_UNUSED_MS = 1_000;

/** Whoever has sent something on a connection, and is told what becomes of it. */
export interface ConnectionUser {
  /** Of a new one. */
  connected(): void;
  bytes(bytes: Buffer): void;
  /** With the socket's error; without one the server has closed it in good order. */
  closed(error: NodeJS.ErrnoException | undefined): void;
}

/** A connection to a server, for one exchange after the other. */
export class Connection {
  readonly socket: Socket;
  #user: ConnectionUser | undefined;
  #error: NodeJS.ErrnoException | undefined;
  /** When it was given back, by the monotonic clock; `undefined` for a new one. */
  unusedSinceMs: number | undefined;

  constructor(socket: Socket, connectedBy: 'connect' | 'secureConnect') {
    this.socket = socket;
    socket.once(connectedBy, () => this.#user?.connected());
    socket.on('data', (bytes: Buffer) => {
      // Nothing was asked: whatever it means, it must not be read as the answer to what is asked next.
      if (this.#user === undefined) socket.destroy();
      else this.#user.bytes(bytes);
    });
    socket.on('error', (error) => {
      this.#error = error;
    });
    socket.once('close', () => this.#user?.closed(this.#error));
  }

  /** Whether it has been used before. */
  get isKept(): boolean {
    return this.unusedSinceMs !== undefined;
  }

  send(text: string, user: ConnectionUser): void {
    this.#user = user;
    this.socket.write(text);
  }

  /** Its user has what it has asked for. */
  leave(nowMs: number): void {
    this.#user = undefined;
    this.unusedSinceMs = nowMs;
  }
}

/** Connections to one server, of which at most `unusedMax` are kept while nothing is sent on them. */
export class KeptConnections {
  readonly #to: { readonly host: string; readonly port: number; readonly isSecure: boolean };
  readonly #unusedMax: number;
  readonly #clock: Clock;
  /** Longest unused first. */
  readonly #unused: Connection[] = [];
  /** Of TLS, so that the next handshake is short. */
  #session: Buffer | undefined;
  #cancelSweep: (() => void) | undefined;

  constructor(url: URL, { unusedMax, clock }: { readonly unusedMax: number; readonly clock: Clock }) {
    const { hostname: host = '', port } = urlToHttpOptions(url) as { hostname?: string; port?: number };
    const isSecure = url.protocol === 'https:';
    this.#to = { host, port: port ?? (isSecure ? 443 : 80), isSecure };
    this.#unusedMax = unusedMax;
    this.#clock = clock;
  }

  /** The one used last, or a new one. */
  take(): Connection {
    let kept = this.#unused.pop();
    while (kept !== undefined && !kept.socket.writable) kept = this.#unused.pop();
    return kept ?? this.open();
  }

  open(): Connection {
    const { host, port, isSecure } = this.#to;
    if (!isSecure) return new Connection(connect({ host, port, noDelay: true }), 'connect');
    const socket = connectTls({
      ...{ host, port, noDelay: true, ALPNProtocols: ['http/1.1'] },
      ...(isIP(host) === 0 && { servername: host }),
      ...(this.#session && { session: this.#session }),
    });
    socket.on('session', (session) => {
      this.#session = session;
    });
    return new Connection(socket, 'secureConnect');
  }

  giveBack(connection: Connection): void {
    connection.leave(this.#clock.monotonic());
    this.#unused.push(connection);
    if (this.#unused.length > this.#unusedMax) this.#unused.shift()?.socket.destroy();
    this.#cancelSweep ??= this.#clock.after(KEPT_UNUSED_MS, () => this.#sweep());
  }

  close(): void {
    this.#cancelSweep?.();
    for (const { socket } of this.#unused.splice(0)) socket.destroy();
  }

  #sweep(): void {
    const keptSinceMs = this.#clock.monotonic() - KEPT_UNUSED_MS;
    const isOld = ({ unusedSinceMs = 0 }: Connection) => unusedSinceMs <= keptSinceMs;
    for (const { socket } of this.#unused.filter(isOld)) socket.destroy();
    this.#unused.splice(0, this.#unused.filter(isOld).length);
    const next = this.#unused[0]?.unusedSinceMs;
    this.#cancelSweep = next === undefined ? undefined : this.#clock.after(next - keptSinceMs, () => this.#sweep());
  }
}
