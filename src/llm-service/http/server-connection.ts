import type { Dispatcher } from 'undici';
import { DiscedgeError } from '../../domain/errors.ts';
import type { Environment } from '../../environment/environment.ts';
import { ConnectionPool } from './connection-pool.ts';
import { Exchange } from './exchange.ts';
import { badReply, brokenConnection, isClosed, type ServerKind } from './server-errors.ts';
import { ServerSentEvents } from './server-sent-events.ts';

export interface ServerConnectionOptions {
  /** Where the server listens, e.g. `http://127.0.0.1:8080`; a path is kept as a prefix. */
  readonly url: string;
  readonly apiKey: string | undefined;
  /** How long the server may take to accept a connection. */
  readonly connectTimeoutMs: number;
  /** How long it may send nothing of meaning while this side is reading. */
  readonly idleTimeoutMs: number;
}

/** Longest reply that is read into memory: 10⁵ ids with the probabilities of ten alternatives each stay below it. */
const REPLY_BYTES_MAX = 128 * 1024 * 1024;
/** An error is a line; what is longer comes from some other server. */
const ERROR_BYTES_MAX = 64 * 1024;
const HEADER_VALUE = /^[\t\x20-\x7e]*$/;

/**
 * Speaks HTTP with one inference server, on connections that are kept while requests follow each other. Nothing that it is asked
 * changes anything there, so a request may be repeated. Every failure is a DiscedgeError (`llm_unavailable`, `llm_timeout`,
 * `llm_bad_reply`; for a refused request `invalid_request` or `context_overflow`) or the signal's reason.
 */
export class ServerConnection {
  readonly url: URL;
  readonly #kind: ServerKind;
  readonly #options: ServerConnectionOptions;
  readonly #environment: Environment;
  readonly #open = new Set<Exchange>();
  readonly #connections: ConnectionPool;
  /** Header of every request. */
  readonly #authorization: Readonly<Record<string, string>>;
  #isClosed = false;

  constructor(kind: ServerKind, options: ServerConnectionOptions, environment: Environment) {
    this.#kind = kind;
    this.url = new URL(options.url.endsWith('/') ? options.url : `${options.url}/`);
    this.#options = options;
    this.#environment = environment;
    this.#authorization = authorizationOf(this.url, options.apiKey);
    const { connectTimeoutMs } = options;
    this.#connections = new ConnectionPool(this.url, {
      connectTimeoutMs,
      notConnected: () =>
        new DiscedgeError(
          'llm_unavailable',
          `${kind.name} at ${this.url.origin} did not connect in ${connectTimeoutMs} ms.`,
        ),
      clock: environment.clock,
    });
  }

  /** Parsed JSON. `path` has no leading slash. */
  get(path: string, signal?: AbortSignal): Promise<unknown> {
    return this.#json(path, undefined, signal);
  }

  /** Parsed JSON of the reply to a body that is JSON text. */
  post(path: string, body: string, signal?: AbortSignal): Promise<unknown> {
    return this.#json(path, body, signal);
  }

  /**
   * The events of a streamed reply, those together that came together. Leaving the iteration closes the connection, and the server
   * drops the work. llama-server closes the connection after each stream itself, though it advertises keep-alive.
   */
  async *stream(path: string, body: string, signal: AbortSignal): AsyncGenerator<readonly string[]> {
    const { exchange, end } = this.#start(path, body, { signal, isLast: true });
    try {
      await this.#expectOk(exchange);
      const events = new ServerSentEvents(() => this.badReply('an endless event'));
      yield* exchange.batches((bytes) => events.push(bytes));
    } finally {
      end();
    }
  }

  /** `what` completes the sentence "NAME … answered with". */
  badReply(what: string): DiscedgeError {
    return badReply(this.#kind, this.url, what);
  }

  /** Ends what is under way, and everything later, with `llm_unavailable`. */
  close(): void {
    this.#isClosed = true;
    for (const exchange of this.#open) exchange.end(isClosed());
    this.#connections.close();
  }

  async #json(path: string, body: string | undefined, signal: AbortSignal | undefined): Promise<unknown> {
    const { exchange, end } = this.#start(path, body, { signal, isLast: false });
    try {
      await this.#expectOk(exchange);
      const reply = parseJson(await this.#text(exchange, REPLY_BYTES_MAX));
      if (reply === undefined) throw this.badReply('something that is not JSON');
      return reply;
    } finally {
      end();
    }
  }

  #start(
    path: string,
    body: string | undefined,
    { signal, isLast }: { readonly signal: AbortSignal | undefined; readonly isLast: boolean },
  ) {
    if (this.#isClosed) throw isClosed();
    signal?.throwIfAborted();
    const { idleTimeoutMs } = this.#options;
    const exchange = new Exchange(
      {
        request: this.#request(path, body, isLast),
        connections: this.#connections,
        idleTimeoutMs,
        unreadBytesMax: REPLY_BYTES_MAX,
        errors: {
          silent: () =>
            new DiscedgeError(
              'llm_timeout',
              `${this.#kind.name} at ${this.url.origin} sent nothing for ${idleTimeoutMs} ms.`,
            ),
          unread: () => this.#tooLong(REPLY_BYTES_MAX),
          broken: (cause, within) => brokenConnection(this.#kind, this.url, { cause, within }),
        },
      },
      this.#environment.clock,
    );
    const abort = () => exchange.end(signal?.reason);
    signal?.addEventListener('abort', abort);
    this.#open.add(exchange);
    const end = () => {
      signal?.removeEventListener('abort', abort);
      this.#open.delete(exchange);
      exchange.end(undefined);
    };
    return { exchange, end };
  }

  #request(path: string, body: string | undefined, isLast: boolean): Dispatcher.DispatchOptions {
    const where = { path: this.url.pathname + path, reset: isLast };
    if (body === undefined) return { ...where, method: 'GET', headers: this.#authorization };
    const headers = { ...this.#authorization, 'content-type': 'application/json' };
    return { ...where, method: 'POST', headers, body };
  }

  async #expectOk(exchange: Exchange): Promise<void> {
    const status = await exchange.send();
    if (status === 200) return;
    throw this.#kind.errorOfReply(this.url, status, parseJson(await this.#text(exchange, ERROR_BYTES_MAX)));
  }

  #text(exchange: Exchange, bytesMax: number): Promise<string> {
    return exchange.text(bytesMax, () => this.#tooLong(bytesMax));
  }

  #tooLong(bytesMax: number): DiscedgeError {
    return this.badReply(`more than ${bytesMax} bytes`);
  }
}

/** Throws `llm_unavailable` for a key that no header holds. */
function authorizationOf({ username, password }: URL, apiKey: string | undefined): Readonly<Record<string, string>> {
  const basic = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64');
  const authorization = apiKey !== undefined ? `Bearer ${apiKey}` : username !== '' ? `Basic ${basic}` : undefined;
  if (authorization === undefined) return {};
  if (!HEADER_VALUE.test(authorization)) {
    throw new DiscedgeError(
      'llm_unavailable',
      'The API key of the LLM Service has characters that no HTTP header holds.',
    );
  }
  return { authorization };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's message quotes the text, which may be a reply.
    return undefined;
  }
}
