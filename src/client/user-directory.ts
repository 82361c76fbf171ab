import { DiscedgeClientError } from './errors.ts';
import type { NodeRing } from './nodes/node-ring.ts';
import { withRetries } from './retry.ts';
import { requireSessionId } from './session-id.ts';
import { listOf, type Wire } from './stored-session.ts';
import type { ClientRequest, Transport } from './transport.ts';

/** Who has erased everything of a user, and who is awaited, as the node that is asked has heard. */
export interface ErasureReceipt {
  readonly receiptId: string;
  readonly userId: string;
  readonly erasedAt: Date;
  /** No node is awaited. */
  readonly complete: boolean;
  readonly nodes: readonly {
    readonly node: string;
    /** `undefined`: awaited. */
    readonly confirmedAt: Date | undefined;
    /** Sessions and documents that it had. */
    readonly sessions: number | undefined;
    /** What an awaited node has said that it waits for, such as `kv_state`. */
    readonly reason: string | undefined;
  }[];
  /** As the node said it. */
  readonly wire: Wire;
}

/** A text, or a few named ones. */
export type Preferences = string | Readonly<Record<string, string>>;

export interface StoredPreferences {
  /** `undefined`: there are none. */
  readonly preferences: Preferences | undefined;
  /** Of what was written last; 0: nothing was. */
  readonly version: number;
}

/** What became of a part of what was exported: `already_here` where all of it was there before. */
export interface RestoredPart {
  readonly state: 'imported' | 'already_here' | 'refused';
  /** Why it was refused. */
  readonly error: { readonly code: string; readonly message: string } | undefined;
}

export interface RestoredSession extends RestoredPart {
  /** `undefined` where none could be read. */
  readonly sessionId: string | undefined;
  /** The last turn of the main line; `undefined` of one that was refused. */
  readonly turn: number | undefined;
  /** Of that turn: what the next one goes on from. */
  readonly contextId: string | undefined;
}

export interface RestoredUser {
  /** `undefined` where none came. */
  readonly preferences: RestoredPart | undefined;
  /** The same. */
  readonly lifetime: RestoredPart | undefined;
  /** In the order in which they were sent. */
  readonly sessions: readonly RestoredSession[];
  /** As the node said it. */
  readonly wire: Wire;
}

/** Users as a whole. An id that no URL leads to throws `invalid_use`. */
export class UserDirectory {
  readonly #transport: Transport;
  readonly #ring: NodeRing;

  constructor(parts: { readonly transport: Transport; readonly ring: NodeRing }) {
    this.#transport = parts.transport;
    this.#ring = parts.ring;
  }

  /**
   * Erases everything of a user on every node. Resolves once it is so at the node that is asked; the others confirm on the
   * receipt, some of them within `maxWaitMs`. Throws `forbidden` for a user who is another's.
   */
  async erase(
    userId: string,
    { maxWaitMs }: { readonly maxWaitMs?: number | undefined } = {},
  ): Promise<ErasureReceipt> {
    const query = maxWaitMs === undefined ? '' : `?max_wait_ms=${maxWaitMs}`;
    return receiptOf(await this.#json({ method: 'DELETE', path: `${pathOf(userId)}${query}` }));
  }

  /** All of a user's sessions with their exact ids, as the node that is asked holds them and gives them. */
  async export(userId: string): Promise<Wire> {
    return this.#json({ method: 'GET', path: `${pathOf(userId)}/export` });
  }

  /** The same as it comes, of any length: a JSON document in UTF-8. */
  async exportStream(userId: string): Promise<ReadableStream<Uint8Array>> {
    const request = { method: 'GET', path: `${pathOf(userId)}/export` } as const;
    const { body } = await withRetries(this.#ring, this.#transport.policy, undefined, (node) =>
      this.#transport.send(node, request),
    );
    if (body !== null) return body;
    throw new DiscedgeClientError('the node answered with nothing', { code: 'reply_malformed' });
  }

  /**
   * Puts back what `export` gave, at the node that is asked: all of it, or with some of its `sessions`, as a node takes a request for a
   * minute. Sent again, it finds what is there. What is refused keeps nothing else out. Throws `forbidden` for a user who is another's,
   * `overloaded` while the user is being erased.
   */
  async import(userId: string, exported: Wire): Promise<RestoredUser> {
    return restoredUserOf(await this.#json({ method: 'POST', path: `${pathOf(userId)}/import`, body: exported }));
  }

  /** Throws `erasure_not_found`. */
  async erasure(userId: string, receiptId: string): Promise<ErasureReceipt> {
    const path = `${pathOf(userId)}/erasures/${encodeURIComponent(receiptId)}`;
    return receiptOf(await this.#json({ method: 'GET', path }));
  }

  /** What a user wants every model to know, at all nodes. */
  async preferences(userId: string): Promise<StoredPreferences> {
    return preferencesOf(await this.#json({ method: 'GET', path: `${pathOf(userId)}/preferences` }));
  }

  /**
   * Sets them, or takes them away with `undefined`; with a version only where that is still the one that is stored. Throws
   * `version_conflict`, and `forbidden` for a user who is another's.
   */
  async setPreferences(
    userId: string,
    preferences: Preferences | undefined,
    { version }: { readonly version?: number | undefined } = {},
  ): Promise<StoredPreferences> {
    const path = `${pathOf(userId)}/preferences`;
    const named = version === undefined ? '' : `?version=${version}`;
    const request: ClientRequest =
      preferences === undefined
        ? { method: 'DELETE', path: path + named }
        : { method: 'PUT', path, body: { preferences, ...(version !== undefined && { version }) } };
    return preferencesOf(await this.#json(request));
  }

  /** How long what a user says is kept, in seconds; `undefined`: as the node's default is. */
  async lifetime(userId: string): Promise<number | undefined> {
    return lifetimeOf(await this.#json({ method: 'GET', path: `${pathOf(userId)}/lifetime` }));
  }

  /** Says so for turns from now on that name no time to live, or takes it away with `undefined`. Throws `forbidden`. */
  async setLifetime(userId: string, ttlSeconds: number | undefined): Promise<number | undefined> {
    const path = `${pathOf(userId)}/lifetime`;
    const request: ClientRequest =
      ttlSeconds === undefined
        ? { method: 'DELETE', path }
        : { method: 'PUT', path, body: { ttl_seconds: ttlSeconds } };
    return lifetimeOf(await this.#json(request));
  }

  async #json(request: ClientRequest): Promise<Wire> {
    return (await this.#transport.json(this.#ring, request)) as Wire;
  }
}

function preferencesOf({ preferences, version }: Wire): StoredPreferences {
  if (typeof version !== 'number')
    throw new DiscedgeClientError('the node answered with something else than preferences', {
      code: 'reply_malformed',
    });
  return { preferences: (preferences ?? undefined) as Preferences | undefined, version };
}

function restoredUserOf(wire: Wire): RestoredUser {
  if (!Array.isArray(wire.sessions))
    throw new DiscedgeClientError('the node does not say what it has imported', { code: 'reply_malformed' });
  return {
    preferences: wire.preferences === undefined ? undefined : restoredPartOf(wire.preferences as Wire),
    lifetime: wire.ttl_seconds === undefined ? undefined : restoredPartOf(wire.ttl_seconds as Wire),
    sessions: listOf(wire.sessions).map((session) => ({
      ...restoredPartOf(session),
      sessionId: session.session_id as string | undefined,
      turn: session.turn as number | undefined,
      contextId: session.context_id as string | undefined,
    })),
    wire,
  };
}

function restoredPartOf({ state, error }: Wire): RestoredPart {
  return { state: state as RestoredPart['state'], error: error as RestoredPart['error'] };
}

function lifetimeOf({ ttl_seconds: seconds }: Wire): number | undefined {
  return typeof seconds === 'number' ? seconds : undefined;
}

function receiptOf(wire: Wire): ErasureReceipt {
  if (typeof wire.receipt_id !== 'string')
    throw new DiscedgeClientError('the node answered with something else than a receipt', { code: 'reply_malformed' });
  return {
    receiptId: wire.receipt_id,
    userId: String(wire.user_id),
    erasedAt: new Date(String(wire.erased_at)),
    complete: wire.complete === true,
    nodes: listOf(wire.nodes).map(({ node, confirmed_at: at, sessions, reason }) => ({
      node: String(node),
      confirmedAt: typeof at === 'string' ? new Date(at) : undefined,
      sessions: typeof sessions === 'number' ? sessions : undefined,
      reason: typeof reason === 'string' ? reason : undefined,
    })),
    wire,
  };
}

function pathOf(userId: string): string {
  return `/users/${encodeURIComponent(requireSessionId(userId))}`;
}
