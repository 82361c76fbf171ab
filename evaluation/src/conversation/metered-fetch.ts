import { type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import type { Socket } from 'node:net';
import type { Fetch } from 'discedge/client';
import type { Clock } from 'discedge/internal/environment/environment';

/** A node that says nothing for so long in the middle of a turn has hung: its own limits are far shorter by default. */
const SILENCE_MS_MAX = 600_000;
/** How long the end of a reply whose content has been read is waited for, so that its connection can be used again. */
const REST_WAIT_MS = 1_000;
/** Statuses whose answers have no body, which `Response` insists on. */
const BODILESS = new Set([204, 205, 304]);

export interface SocketBytes {
  readonly sent: number;
  readonly received: number;
}

/**
 * A `fetch` over connections of its own, by default kept alive between requests, that counts what goes through their sockets: HTTP
 * heads and bodies both ways, of failed attempts too. TCP and IP headers and acknowledgements are `discedge traffic`'s.
 * Through https the bytes are those inside the encryption.
 */
export class MeteredFetch {
  readonly fetch: Fetch = (input, init) => this.#fetch(input, init);
  readonly #clock: Clock;
  readonly #agents: { readonly 'http:': PlainAgent; readonly 'https:': TlsAgent };
  readonly #open = new Set<Socket>();
  #closed: SocketBytes = { sent: 0, received: 0 };

  /** A server that ends its connections without saying so beforehand is better not met on one again. */
  constructor(clock: Clock, { keepsConnections: keepAlive = true }: { readonly keepsConnections?: boolean } = {}) {
    this.#clock = clock;
    this.#agents = { 'http:': new PlainAgent({ keepAlive }), 'https:': new TlsAgent({ keepAlive }) };
  }

  /** Through all of its sockets since it was made. */
  get bytes(): SocketBytes {
    return [...this.#open].reduce(added, this.#closed);
  }

  close(): void {
    for (const agent of Object.values(this.#agents)) agent.destroy();
  }

  #fetch(input: string, init: RequestInit): Promise<Response> {
    const url = new URL(input);
    const tls = url.protocol === 'https:';
    const { method = 'GET', headers, body, signal } = init;
    return new Promise((resolve, reject) => {
      const options = {
        method,
        agent: tls ? this.#agents['https:'] : this.#agents['http:'],
        headers: Object.fromEntries(new Headers(headers)),
        timeout: SILENCE_MS_MAX,
        ...(signal == null ? {} : { signal }),
      };
      const outgoing = (tls ? tlsRequest : plainRequest)(url, options);
      outgoing.on('socket', (socket) => this.#watch(socket));
      outgoing.on('response', (incoming) => resolve(this.#response(incoming)));
      outgoing.on('timeout', () => outgoing.destroy(new Error(`no sign of life in ${SILENCE_MS_MAX / 1000} s`)));
      outgoing.on('error', reject);
      outgoing.end(body as string | undefined);
    });
  }

  #watch(socket: Socket): void {
    if (this.#open.has(socket)) return;
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#closed = added(this.#closed, socket);
    });
  }

  #response(incoming: IncomingMessage): Response {
    const { statusCode: status = 502, headers } = incoming;
    const plain = Object.entries(headers).map(([name, value]): [string, string] => [name, String(value)]);
    if (BODILESS.has(status)) incoming.resume();
    return new Response(BODILESS.has(status) ? null : this.#body(incoming), { status, headers: plain });
  }

  #body(incoming: IncomingMessage): ReadableStream<Uint8Array> {
    let wanted = true;
    return new ReadableStream<Uint8Array>({
      start(controller) {
        incoming.pause();
        incoming.on('data', (chunk: Buffer) => {
          if (!wanted) return;
          controller.enqueue(chunk);
          if ((controller.desiredSize ?? 0) <= 0) incoming.pause();
        });
        incoming.on('end', () => wanted && controller.close());
        incoming.on('error', (error) => wanted && controller.error(error));
      },
      pull: () => {
        incoming.resume();
      },
      cancel: () => {
        wanted = false;
        return this.#readToEnd(incoming);
      },
    });
  }

  /** Who reads server-sent events leaves after the last one, when only the end of the body is missing. */
  #readToEnd(incoming: IncomingMessage): Promise<void> {
    if (incoming.readableEnded || incoming.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      const giveUp = this.#clock.after(REST_WAIT_MS, () => incoming.destroy());
      const end = () => {
        giveUp();
        resolve();
      };
      incoming.once('end', end).once('close', end).resume();
    });
  }
}

function added(sum: SocketBytes, { bytesRead, bytesWritten }: Socket): SocketBytes {
  return { sent: sum.sent + bytesWritten, received: sum.received + bytesRead };
}
