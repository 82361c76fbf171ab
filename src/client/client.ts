import { DiscedgeClientError } from './errors.ts';
import { followSignal } from './follow-signal.ts';
import { type NodeDirectory, nodeDirectoryOf } from './nodes/node-directory.ts';
import { type FindOptions, type FoundNode, findNodes } from './nodes/node-finder.ts';
import { NodeRing } from './nodes/node-ring.ts';
import { OwnHistory, type OwnHistoryOptions } from './own-history.ts';
import { BACKOFF_MS_DEFAULT, RETRIES_MAX_DEFAULT, type RetryEvent, withRetries } from './retry.ts';
import { savedSession } from './saved-session.ts';
import { Session } from './session.ts';
import { SessionDirectory } from './session-directory.ts';
import type { SessionOptions } from './session-options.ts';
import { type Fetch, Transport } from './transport.ts';
import type { Completion } from './turn/reply.ts';
import { ReplyStream, type ReplyWriter } from './turn/reply-stream.ts';
import { sendPrompt } from './turn/send-turn.ts';
import { type PromptOptions, promptRequest } from './turn/turn-request.ts';
import { UserDirectory } from './user-directory.ts';

export { DiscedgeClientError } from './errors.ts';
export type { ListedNode, ListedWarming, NodeDirectory } from './nodes/node-directory.ts';
export type { Coordinates, FindOptions, FoundNode } from './nodes/node-finder.ts';
export type { ChatMessage, OwnHistory, OwnHistoryOptions } from './own-history.ts';
export type { RetryEvent } from './retry.ts';
export type { Session } from './session.ts';
export type {
  ForkOptions,
  ImportOptions,
  MoveOptions,
  SeenOptions,
  SessionDirectory,
  SessionPage,
} from './session-directory.ts';
export type {
  Coming,
  LostTurns,
  Refreshed,
  RefreshOptions,
  SendOptions,
  SessionOptions,
  SessionState,
} from './session-options.ts';
export type {
  ForkedSession,
  ImportedSession,
  MovedSession,
  SessionSummary,
  StoredBranch,
  StoredSession,
  StoredTurn,
  Wire,
} from './stored-session.ts';
export type { Fetch } from './transport.ts';
export type { Completion, ContextLayer, ContextLayers, Reply, Usage } from './turn/reply.ts';
export type { ReplyStream } from './turn/reply-stream.ts';
export type { PromptOptions, TurnOptions } from './turn/turn-request.ts';
export type {
  ErasureReceipt,
  Preferences,
  RestoredPart,
  RestoredSession,
  RestoredUser,
  StoredPreferences,
  UserDirectory,
} from './user-directory.ts';

export interface ClientOptions {
  /** URLs of edge nodes, the nearest first; the others are for when it cannot be reached. */
  readonly nodes: string | readonly string[];
  /** Whose sessions; `anonymous` when left out. */
  readonly userId?: string | undefined;
  /** Which of a node's models, where it serves several; the node's default one when left out. */
  readonly model?: string | undefined;
  /** An API key of the nodes, or a token of an issuer that they trust; sent with every request. */
  readonly apiKey?: string | undefined;
  /** Sent with every request, e.g. for a proxy's access control. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** In place of the global `fetch`. */
  readonly fetch?: Fetch | undefined;
  /**
   * How long a node may say nothing before another one is asked, in milliseconds; 0 for ever. When left out, 45,000 in a reply that is
   * streamed, of which a node says something at least every 15 seconds, and for ever in one that is sent whole.
   */
  readonly silenceMs?: number | undefined;
  /** Attempts after the first, 4 when left out; 0 for none. */
  readonly retriesMax?: number | undefined;
  /** Wait before the first retry in milliseconds, 200 when left out; doubles with each, unless the node names one. */
  readonly backoffMs?: number | undefined;
  /** Told before each retry. */
  readonly onRetry?: ((event: RetryEvent) => void) | undefined;
}

/** A text in which control tokens are read as such, or texts and token ids in order. */
export type Prompt = string | readonly (string | number)[];

/**
 * A client of DisCEdge's edge nodes. Needs nothing but a standard `fetch`, so it runs in Node.js and in browsers, where the nodes
 * have to allow the page's origin (setting `cors-origins`).
 *
 *     const client = new DiscedgeClient({ nodes: ['http://edge-1:8081', 'http://edge-2:8081'] });
 *     const session = client.session();
 *     for await (const text of session.stream('My name is Ada.')) show(text);
 *     session.moveTo('http://edge-2:8081');
 *     const reply = await session.send('What is my name?');
 */
export class DiscedgeClient {
  /** Stored sessions: list, show, export, import, fork, delete. */
  readonly sessions: SessionDirectory;
  /** Users as a whole: export, erase. */
  readonly users: UserDirectory;
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
      headers: {
        ...(options.apiKey !== undefined && { authorization: `Bearer ${options.apiKey}` }),
        ...options.headers,
      },
      silenceMs: options.silenceMs,
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
    this.users = new UserDirectory({ transport: this.#transport, ring: this.#ring });
  }

  /** A new session, or one to go on with when given an earlier one's `state`. Asks no node. Throws `invalid_use` for an id that no URL leads to. */
  session(options: SessionOptions = {}): Session {
    // Its own ring: one session that fails over or roams does not take the others along.
    const ring = new NodeRing(this.#ring.urls, options.node);
    const parts = { transport: this.#transport, ring, userId: this.#userId };
    return new Session(parts, { ...options, model: options.model ?? this.#model });
  }

  /**
   * A session that `Session.serialize` has written. The string may come from anywhere: one that is not as it has to be is refused
   * with `invalid_use`, as is another user's, and nodes that this client does not know are not asked.
   */
  restore(text: string, options: Pick<SessionOptions, 'turnOptions' | 'repair'> = {}): Session {
    const { state, userId, mode, system, remembered, unsettled } = savedSession(text);
    if (userId !== this.#userId) {
      throw new DiscedgeClientError("this string is another user's session", { code: 'invalid_use' });
    }
    const isKnown = (url: string) => this.#ring.knows(url);
    const node = state.node !== undefined && isKnown(state.node) ? state.node : undefined;
    const saved = {
      remembered: options.repair === undefined ? [] : remembered,
      unsettled: unsettled && { ...unsettled, nodes: unsettled.nodes.filter(([url]) => isKnown(url)) },
    };
    const ring = new NodeRing(this.#ring.urls, node);
    const parts = { transport: this.#transport, ring, userId: this.#userId, saved };
    return new Session(parts, { ...state, node, mode, system, ...options });
  }

  /**
   * Has a whole prompt answered, of which nodes keep nothing (mode `client-side`): texts and token ids as they stand, without a
   * chat template. Throws DiscedgeClientError, or the signal's reason.
   */
  complete(prompt: Prompt, options: PromptOptions = {}): Promise<Completion> {
    return this.#complete(prompt, options, options.signal, undefined);
  }

  /** As `complete`, with the text as it is written. */
  completeStream(prompt: Prompt, options: PromptOptions = {}): ReplyStream<Completion> {
    const leaving = new AbortController();
    const unfollow = followSignal(options.signal, leaving);
    return new ReplyStream(
      (writer) => this.#complete(prompt, options, leaving.signal, writer).finally(unfollow),
      () => leaving.abort(new DiscedgeClientError('the reply was not read to its end', { code: 'reply_abandoned' })),
    );
  }

  /** A conversation whose history this client keeps, and sends with every turn. Asks no node. */
  ownHistory(options: OwnHistoryOptions = {}): OwnHistory {
    const ring = new NodeRing(this.#ring.urls, options.node);
    return new OwnHistory({ transport: this.#transport, ring, userId: this.#userId, model: this.#model }, options);
  }

  /** URL of the node that is asked first, and with which new sessions begin. */
  get node(): string {
    return this.#ring.current;
  }

  /**
   * Finds the nearest node, and further ones: it comes first from now on, for sessions that are made afterwards; one that is there
   * goes to it with `session.moveTo(client.node)`. Returns all that are known, the nearest first.
   */
  findNodes(options: FindOptions = {}): Promise<readonly FoundNode[]> {
    return findNodes({ transport: this.#transport, ring: this.#ring, model: this.#model }, options);
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

  #complete(
    prompt: Prompt,
    options: PromptOptions,
    signal: AbortSignal | undefined,
    writer: ReplyWriter | undefined,
  ): Promise<Completion> {
    const body = promptRequest(prompt, { model: this.#model, userId: this.#userId }, options);
    return withRetries(this.#ring, this.#transport.policy, signal, (node) =>
      sendPrompt(this.#transport, node, body, { signal, writer }),
    );
  }

  #get(path: string): Promise<unknown> {
    return this.#transport.json(this.#ring, { method: 'GET', path });
  }
}
