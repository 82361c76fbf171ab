import { type NodeDirectory, nodeDirectoryOf } from './node-directory.ts';
import { NodeRing } from './node-ring.ts';
import { BACKOFF_MS_DEFAULT, RETRIES_MAX_DEFAULT, type RetryEvent } from './retry.ts';
import { Session } from './session.ts';
import { SessionDirectory } from './session-directory.ts';
import type { SessionOptions } from './session-options.ts';
import { type Fetch, Transport } from './transport.ts';

export { DiscedgeClientError } from './errors.ts';
export type { ListedNode, NodeDirectory } from './node-directory.ts';
export type { Reply, Usage } from './reply.ts';
export type { ReplyStream } from './reply-stream.ts';
export type { RetryEvent } from './retry.ts';
export type { Session } from './session.ts';
export type { ForkOptions, SeenOptions, SessionDirectory, SessionPage } from './session-directory.ts';
export type { Refreshed, RefreshOptions, SendOptions, SessionOptions, SessionState } from './session-options.ts';
export type { ForkedSession, SessionSummary, StoredBranch, StoredSession, StoredTurn, Wire } from './stored-session.ts';
export type { Fetch } from './transport.ts';
export type { TurnOptions } from './turn-request.ts';

export interface ClientOptions {
  /** URLs of edge nodes, the nearest first; the others are for when it cannot be reached. */
  readonly nodes: string | readonly string[];
  /** Whose sessions; `anonymous` when left out. */
  readonly userId?: string | undefined;
  /** Which of a node's models, where it serves several; the node's default one when left out. */
  readonly model?: string | undefined;
  /** Sent with every request, e.g. for a proxy's access control. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** In place of the global `fetch`. */
  readonly fetch?: Fetch | undefined;
  /** Attempts after the first, 4 when left out; 0 for none. */
  readonly retriesMax?: number | undefined;
  /** Wait before the first retry in milliseconds, 200 when left out; doubles with each, unless the node names one. */
  readonly backoffMs?: number | undefined;
  /** Told before each retry. */
  readonly onRetry?: ((event: RetryEvent) => void) | undefined;
}

/**
 * A client of DisCEdge's edge nodes. Needs nothing but a standard `fetch`, so it runs in Node.js, and in a browser page
 * that is served from the node's own origin, through a proxy before both, say: a node sends no CORS headers.
 *
 *     const client = new DiscedgeClient({ nodes: ['http://edge-1:8081', 'http://edge-2:8081'] });
 *     const session = client.session();
 *     for await (const text of session.stream('My name is Ada.')) show(text);
 *     session.moveTo('http://edge-2:8081');
 *     const reply = await session.send('What is my name?');
 */
export class DiscedgeClient {
  /** Stored sessions: list, show, export, fork, delete. */
  readonly sessions: SessionDirectory;
  readonly #transport: Transport;
  readonly #ring: NodeRing;
  readonly #userId: string | undefined;
  readonly #model: string | undefined;

  /** Throws `invalid_use` for a malformed node URL. */
  constructor(options: ClientOptions) {
    this.#ring = new NodeRing(typeof options.nodes === 'string' ? [options.nodes] : options.nodes);
    this.#userId = options.userId;
    this.#model = options.model;
    this.#transport = new Transport({
      // Wrapped, because a browser's fetch must be called as a function of its window.
      fetch: options.fetch ?? ((input, init) => fetch(input, init)),
      headers: options.headers ?? {},
      policy: {
        retriesMax: options.retriesMax ?? RETRIES_MAX_DEFAULT,
        backoffMs: options.backoffMs ?? BACKOFF_MS_DEFAULT,
        onRetry: options.onRetry,
      },
    });
    this.sessions = new SessionDirectory({
      transport: this.#transport,
      ring: this.#ring,
      userId: this.#userId,
      model: this.#model,
    });
  }

  /** A new session, or one to go on with when given an earlier one's `state`. Asks no node. Throws `invalid_use` for an id that no URL leads to. */
  session(options: SessionOptions = {}): Session {
    // Its own ring: one session that fails over or roams does not take the others along.
    const ring = new NodeRing(this.#ring.urls, options.node);
    const parts = { transport: this.#transport, ring, userId: this.#userId };
    return new Session(parts, { ...options, model: options.model ?? this.#model });
  }

  /** A stored session of which only the id is known; its turn is asked of the node. Throws `session_not_found`. */
  async resume(sessionId: string, options: Omit<SessionOptions, 'sessionId' | 'turn' | 'contextId'> = {}) {
    const session = this.session({ ...options, sessionId });
    await session.refresh();
    return session;
  }

  /** Whether the node runs. Throws `node_unreachable`. */
  health(): Promise<unknown> {
    return this.#get('/health');
  }

  /** Whether the node can take turns; throws with status 503 when it cannot. */
  ready(): Promise<unknown> {
    return this.#get('/ready');
  }

  /** The node's model, context window and chat template, in llama.cpp's fields and DisCEdge's. */
  props(): Promise<unknown> {
    const query = this.#model === undefined ? '' : `?${new URLSearchParams({ model: this.#model })}`;
    return this.#get(`/props${query}`);
  }

  /** The models that the node serves, the default one first. */
  models(): Promise<unknown> {
    return this.#get('/v1/models');
  }

  /** The nodes of the cluster, as this one sees them. */
  async nodes(): Promise<NodeDirectory> {
    return nodeDirectoryOf(await this.#get('/nodes'));
  }

  #get(path: string): Promise<unknown> {
    return this.#transport.json(this.#ring, { method: 'GET', path });
  }
}
