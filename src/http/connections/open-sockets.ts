import type { IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import type { Duplex } from 'node:stream';
import type { WebSocket, WebSocketServer } from 'ws';
import { DiscedgeError } from '../../domain/errors.ts';
import type { Clock } from '../../environment/environment.ts';
import { within } from '../../waiting/within.ts';

/** Each may have left 4 MiB unread, so they take 1 GiB at the worst; a file descriptor each, of the 1,024 that are common. */
export const OPEN_SOCKETS_MAX = 256;
/** Below the minute after which proxies commonly close what is silent. One that is gone is noticed within twice this. */
export const PING_EVERY_MS = 30_000;
/**
 * What is still being answered may take so long when the node stops, its turns having been given their time before; and so long
 * the client may then take to agree to the end.
 */
export const SOCKET_CLOSE_MS = 2_000;
const GOING_AWAY = 1001;

/** Takes up what a client says; what it returns resolves when all that it has said is answered. */
export type SocketServer = (client: WebSocket) => () => Promise<unknown>;

/** WebSockets of a node: so many at once, none whose client is gone, and all closed in good order when the node stops. */
export class OpenSockets {
  readonly #clock: Clock;
  readonly #options: ConstructorParameters<typeof OpenSockets>[1];
  #server: WebSocketServer | undefined;
  readonly #answered = new Map<WebSocket, () => Promise<unknown>>();
  #isClosing = false;

  /** `onBadHandshake` answers what is no handshake, which else the library would, in words of its own. */
  constructor(
    clock: Clock,
    options: {
      readonly messageBytesMax: number;
      readonly onBadHandshake: (error: DiscedgeError, socket: Duplex) => void;
    },
  ) {
    this.#clock = clock;
    this.#options = options;
  }

  /** Why no more may be opened now; `undefined` when one may. */
  get fault(): DiscedgeError | undefined {
    if (this.#isClosing) return new DiscedgeError('shutting_down', 'the node is stopping; ask another one');
    if (this.#answered.size < OPEN_SOCKETS_MAX) return undefined;
    return new DiscedgeError('overloaded', `the node has ${OPEN_SOCKETS_MAX} sockets open, which is its limit`, {
      retryAfterMs: 1000,
    });
  }

  open(request: IncomingMessage, socket: Duplex, head: Buffer, serve: SocketServer): void {
    this.#server ??= this.#listen();
    this.#server.handleUpgrade(request, socket, head, (client) => {
      const stopPinging = this.#ping(client);
      this.#answered.set(client, serve(client));
      client.on('close', () => {
        stopPinging();
        this.#answered.delete(client);
      });
    });
  }

  /** Opens no more, and closes each once what is under way on it is answered; bounded by twice {@link SOCKET_CLOSE_MS}. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.all([...this.#answered].map(([client, answered]) => this.#closeOne(client, answered)));
  }

  async #closeOne(client: WebSocket, answered: () => Promise<unknown>): Promise<void> {
    const bound = { clock: this.#clock, waitMs: SOCKET_CLOSE_MS };
    await within<unknown>(bound, answered(), () => {});
    if (client.readyState === client.CLOSED) return;
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    client.close(GOING_AWAY);
    await within(bound, closed, () => client.terminate());
  }

  #listen(): WebSocketServer {
    const { messageBytesMax, onBadHandshake } = this.#options;
    const server = webSocketServer(messageBytesMax);
    server.on('wsClientError', (error, socket) => {
      onBadHandshake(
        new DiscedgeError('invalid_request', `this is no handshake of a WebSocket: ${error.message}`),
        socket,
      );
    });
    return server;
  }

  /** Ends the connection of a client that does not answer pings. */
  #ping(client: WebSocket): () => void {
    let isThere = true;
    const next = () =>
      this.#clock.after(PING_EVERY_MS, () => {
        if (!isThere) return client.terminate();
        isThere = false;
        client.ping();
        cancel = next();
      });
    let cancel = next();
    client.on('pong', () => {
      isThere = true;
    });
    return () => cancel();
  }
}

/** Loads the library for the first socket: most nodes have none. */
function webSocketServer(maxPayload: number): WebSocketServer {
  const { WebSocketServer } = createRequire(import.meta.url)('ws') as typeof import('ws');
  return new WebSocketServer({ noServer: true, clientTracking: false, maxPayload, perMessageDeflate: false });
}
