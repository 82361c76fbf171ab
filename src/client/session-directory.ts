import { DiscedgeClientError } from './errors.ts';
import type { NodeRing } from './nodes/node-ring.ts';
import { withRetries } from './retry.ts';
import { newSessionId, requireSessionId } from './session-id.ts';
import type { Coming } from './session-options.ts';
import {
  type ForkedSession,
  forkedSessionOf,
  type ImportedSession,
  importedSessionOf,
  listOf,
  type MovedSession,
  movedSessionOf,
  type SessionSummary,
  type StoredSession,
  sessionOf,
  summaryOf,
  type Wire,
} from './stored-session.ts';
import type { ClientRequest, Transport } from './transport.ts';

/** May be short, or empty, and not the last. */
export interface SessionPage {
  readonly sessions: readonly SessionSummary[];
  /** Give it as `after` to get the next page; `undefined` on the last one. */
  readonly next: string | undefined;
}

export interface MoveOptions {
  /** The model to go on with. */
  readonly model: string;
  /** Id that the session has there; a new one when left out. */
  readonly newSessionId?: string | undefined;
  /** How long it lives there; the node's default when left out. */
  readonly ttlSeconds?: number | undefined;
  /** Whether it is deleted where it was. */
  readonly delete?: boolean | undefined;
}

export interface ImportOptions {
  /** Another id than it had. */
  readonly sessionId?: string | undefined;
  /** How long it lives from now on; as long as it did after a turn when left out. */
  readonly ttlSeconds?: number | undefined;
}

export interface ForkOptions {
  /** The last turn that the fork is to have; may be left out with `contextId`. */
  readonly turn?: number | undefined;
  /** A turn of the branch that is meant, at or after `turn`; the main line when left out. */
  readonly contextId?: string | undefined;
  /** Id of the fork; a new one when left out. */
  readonly newSessionId?: string | undefined;
  /** How long the fork lives; the node's default when left out. */
  readonly ttlSeconds?: number | undefined;
}

/**
 * What whoever asks has seen of a session, at whichever node: a node that lacks it waits for it, bounded, before it answers.
 * A {@link Session} says so by itself.
 */
export interface SeenOptions {
  /** The last turn that was acknowledged. */
  readonly turn?: number | undefined;
  /** Its context id, which also tells the branch. */
  readonly contextId?: string | undefined;
  /** How long the node may wait, in milliseconds; its default when left out. */
  readonly maxWaitMs?: number | undefined;
}

/** A user's stored sessions, as the node that is asked holds them. An id that no URL leads to throws `invalid_use`. */
export class SessionDirectory {
  readonly #transport: Transport;
  readonly #ring: NodeRing;
  readonly #userId: string | undefined;
  readonly #model: string | undefined;

  constructor(parts: {
    readonly transport: Transport;
    readonly ring: NodeRing;
    readonly userId: string | undefined;
    /** Only this model's sessions; those of all models when left out. */
    readonly model: string | undefined;
  }) {
    this.#transport = parts.transport;
    this.#ring = parts.ring;
    this.#userId = parts.userId;
    this.#model = parts.model;
  }

  /** One page of sessions. */
  async list(options: { readonly limit?: number; readonly after?: string } = {}): Promise<SessionPage> {
    const wire = await this.#json('GET', '', { query: { limit: options.limit, after: options.after } });
    return {
      sessions: listOf(wire.data).map(summaryOf),
      next: typeof wire.next === 'string' ? wire.next : undefined,
    };
  }

  /** Throws `session_not_found`, and `context_stale` where what was seen does not come. */
  async show(sessionId: string, seen: SeenOptions = {}): Promise<StoredSession> {
    return sessionOf(await this.#json('GET', pathOf(sessionId), { query: seenQuery(seen) }));
  }

  /** Everything that is stored of a session, exact token ids included, as the node gives it. Throws what `show` throws. */
  async export(sessionId: string, seen: SeenOptions = {}): Promise<Wire> {
    return this.#json('GET', `${pathOf(sessionId)}/export`, { query: seenQuery(seen) });
  }

  /**
   * Takes back a session that was exported; it goes on where it was. Throws `session_exists` where another has its id,
   * `model_not_found` where the node does not serve its model, `invalid_request` where it is not as it was exported.
   */
  async import(session: Wire, options: ImportOptions = {}): Promise<ImportedSession> {
    const query = { as: options.sessionId, ttl_seconds: options.ttlSeconds };
    return importedSessionOf(await this.#json('POST', '/import', { query, body: session }));
  }

  /**
   * A new session whose first turns are copies of this one's; neither feels the other from then on. Throws
   * `session_not_found`, `invalid_request` for a turn that is not there, `session_exists`.
   */
  async fork(sessionId: string, options: ForkOptions): Promise<ForkedSession> {
    const body = {
      turn: options.turn,
      context_id: options.contextId,
      // Chosen here, so that a fork whose answer was lost is found when it is asked for again.
      session_id: options.newSessionId === undefined ? newSessionId() : requireSessionId(options.newSessionId),
      ttl_seconds: options.ttlSeconds,
    };
    return forkedSessionOf(await this.#json('POST', `${pathOf(sessionId)}/fork`, { body }));
  }

  /**
   * The session goes on with another model of the node: written anew from its texts. It stays where it was unless `delete` is set. Throws
   * `session_not_found`, `model_not_found`, `session_exists`, `invalid_request` where it is one of that model already.
   */
  async move(sessionId: string, options: MoveOptions): Promise<MovedSession> {
    const body = {
      model: options.model,
      // Chosen here, so that a move whose answer was lost is found when it is asked for again.
      session_id: options.newSessionId === undefined ? newSessionId() : requireSessionId(options.newSessionId),
      ttl_seconds: options.ttlSeconds,
    };
    const path = `${pathOf(sessionId)}/move`;
    const moved = movedSessionOf(await this.#json('POST', path, { body }));
    if (!options.delete) return moved;
    // Asked for by itself: a move whose answer was lost is sent again of a session that is still there. By a move, which takes along
    // what has been answered meanwhile.
    const deleting = { method: 'POST', path: this.#path(path), body: { ...body, delete: true } } as const;
    const whole = await this.#attemptToDelete(deleting);
    return whole === undefined ? moved : movedSessionOf(whole as Wire);
  }

  /** For good, on every node. Throws what `show` throws, and `session_deleted` when it was deleted before. */
  async delete(sessionId: string, seen: SeenOptions = {}): Promise<void> {
    await this.#attemptToDelete({ method: 'DELETE', path: this.#path(pathOf(sessionId), seenQuery(seen)) });
  }

  /**
   * Ends the session's turn under way, if there is one; nothing of it is stored then. Throws `reply_cut` where an earlier
   * attempt, whose answer was lost, may have done so.
   */
  async cancel(sessionId: string): Promise<boolean> {
    const stopped = await this.stop(sessionId);
    if (stopped !== 'unknown') return stopped === 'stopped';
    throw new DiscedgeClientError(
      'no turn is under way, but whether one was cancelled is not known: an answer was lost',
      {
        code: 'reply_cut',
        node: this.#ring.current,
      },
    );
  }

  /** As `cancel`; `unknown` where that throws for a lost answer. */
  async stop(sessionId: string): Promise<'stopped' | 'idle' | 'unknown'> {
    let isAnswerLost = false;
    const wire = await this.#attempt({ method: 'POST', path: this.#path(`${pathOf(sessionId)}/cancel`) }, (error) => {
      isAnswerLost ||= isLostAnswer(error);
      throw error;
    });
    if ((wire as Wire).cancelled === true) return 'stopped';
    return isAnswerLost ? 'unknown' : 'idle';
  }

  /** Says that the session's next turn comes there. */
  async coming(sessionId: string): Promise<Coming> {
    const { turn, warms } = await this.#json('POST', `${pathOf(sessionId)}/coming`);
    return { turn: Number(turn), warms: warms === true };
  }

  /** `undefined` where it was done by an attempt whose answer was lost. */
  #attemptToDelete(request: ClientRequest): Promise<unknown> {
    let isAnswerLost = false;
    return this.#attempt(request, (error) => {
      if (isAnswerLost && error.code === 'session_deleted') return;
      isAnswerLost ||= isLostAnswer(error);
      throw error;
    });
  }

  /** With retries; `failed` is told each attempt's error, and throws it unless it is none. */
  #attempt(request: ClientRequest, failed: (error: DiscedgeClientError) => void): Promise<unknown> {
    return withRetries(this.#ring, this.#transport.policy, undefined, async (node) => {
      try {
        return await this.#transport.sendForJson(node, request);
      } catch (error) {
        if (!(error instanceof DiscedgeClientError)) throw error;
        return failed(error);
      }
    });
  }

  async #json(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    { query = {}, body }: { query?: Record<string, string | number | undefined>; body?: object } = {},
  ): Promise<Wire> {
    return (await this.#transport.json(this.#ring, { method, path: this.#path(path, query), body })) as Wire;
  }

  #path(path: string, query: Record<string, string | number | undefined> = {}): string {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries({ user_id: this.#userId, model: this.#model, ...query })) {
      if (value !== undefined) parameters.set(name, String(value));
    }
    const suffix = parameters.size === 0 ? '' : `?${parameters}`;
    return `/sessions${path}${suffix}`;
  }
}

function seenQuery({ turn, contextId, maxWaitMs }: SeenOptions): Record<string, string | number | undefined> {
  return { turn, context_id: contextId, max_wait_ms: maxWaitMs };
}

/** The request may have done its work. */
function isLostAnswer({ code }: DiscedgeClientError): boolean {
  return code === 'node_unreachable' || code === 'reply_cut';
}

function pathOf(sessionId: string): string {
  return `/${encodeURIComponent(requireSessionId(sessionId))}`;
}
