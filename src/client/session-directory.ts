import type { NodeRing } from './node-ring.ts';
import { requireSessionId } from './session-id.ts';
import type { Transport } from './transport.ts';

export interface SessionSummary {
  readonly sessionId: string;
  readonly userId: string;
  readonly mode: string;
  /** Number of its latest turn. */
  readonly turns: number;
  readonly bytes: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly expiresAt: Date;
}

export interface SessionPage {
  readonly sessions: readonly SessionSummary[];
  /** Give it as `after` to get the next page; `undefined` on the last one. */
  readonly next: string | undefined;
}

export interface StoredTurn {
  readonly turn: number;
  readonly contextId: string;
  /** Context id of the turn before; `undefined` for turn 1. */
  readonly parent: string | undefined;
  readonly user: string;
  readonly reply: string;
  /** `end`, `limit` or `word`. */
  readonly stopType: string;
  /** Of this turn's part of the prompt and of its reply; `undefined` in `raw`, which keeps no tokens. */
  readonly promptTokens: number | undefined;
  readonly replyTokens: number | undefined;
  /** Id of the node that answered it. */
  readonly node: string;
  readonly writtenAt: Date;
}

export interface StoredSession {
  readonly sessionId: string;
  readonly userId: string;
  readonly mode: string;
  readonly expiresAt: Date;
  /** The main line, oldest first. */
  readonly turns: readonly StoredTurn[];
  /** The node's answer as it came, with the ends of branches off the main line. */
  readonly wire: Readonly<Record<string, unknown>>;
}

/** A user's stored sessions, as the node that is asked holds them. An id that no URL leads to throws `invalid_use`. */
export class SessionDirectory {
  readonly #transport: Transport;
  readonly #ring: NodeRing;
  readonly #userId: string | undefined;

  constructor({ transport, ring, userId }: { transport: Transport; ring: NodeRing; userId: string | undefined }) {
    this.#transport = transport;
    this.#ring = ring;
    this.#userId = userId;
  }

  /** One page of sessions. */
  async list(options: { readonly limit?: number; readonly after?: string } = {}): Promise<SessionPage> {
    const wire = await this.#json('GET', '', { limit: options.limit, after: options.after });
    const rows = Array.isArray(wire.data) ? (wire.data as Wire[]) : [];
    return { sessions: rows.map(summaryOf), next: typeof wire.next === 'string' ? wire.next : undefined };
  }

  /** Throws `session_not_found`. */
  async show(sessionId: string): Promise<StoredSession> {
    const wire = await this.#json('GET', pathOf(sessionId));
    const turns = Array.isArray(wire.turns) ? (wire.turns as Wire[]) : [];
    return {
      sessionId: String(wire.session_id),
      userId: String(wire.user_id),
      mode: String(wire.mode),
      expiresAt: new Date(String(wire.expires_at)),
      turns: turns.map(turnOf),
      wire,
    };
  }

  /** Everything that is stored of a session, exact token ids included, as the node gives it. */
  async export(sessionId: string): Promise<Readonly<Record<string, unknown>>> {
    return this.#json('GET', `${pathOf(sessionId)}/export`);
  }

  /** For good, on every node. Throws `session_not_found`. */
  async delete(sessionId: string): Promise<void> {
    await this.#json('DELETE', pathOf(sessionId));
  }

  /** Ends the session's turn under way, if there is one; nothing of it is stored then. */
  async cancel(sessionId: string): Promise<boolean> {
    const wire = await this.#json('POST', `${pathOf(sessionId)}/cancel`);
    return wire.cancelled === true;
  }

  async #json(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    query: Record<string, string | number | undefined> = {},
  ) {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries({ user_id: this.#userId, ...query })) {
      if (value !== undefined) parameters.set(name, String(value));
    }
    const suffix = parameters.size === 0 ? '' : `?${parameters}`;
    return (await this.#transport.json(this.#ring, { method, path: `/sessions${path}${suffix}` })) as Wire;
  }
}

type Wire = Readonly<Record<string, unknown>>;

function pathOf(sessionId: string): string {
  return `/${encodeURIComponent(requireSessionId(sessionId))}`;
}

function summaryOf(wire: Wire): SessionSummary {
  return {
    sessionId: String(wire.session_id),
    userId: String(wire.user_id),
    mode: String(wire.mode),
    turns: Number(wire.turns),
    bytes: Number(wire.bytes),
    createdAt: new Date(String(wire.created_at)),
    updatedAt: new Date(String(wire.updated_at)),
    expiresAt: new Date(String(wire.expires_at)),
  };
}

function turnOf(wire: Wire): StoredTurn {
  return {
    turn: Number(wire.turn),
    contextId: String(wire.context_id),
    parent: typeof wire.parent === 'string' ? wire.parent : undefined,
    user: String(wire.user),
    reply: String(wire.reply),
    stopType: String(wire.stop_type),
    promptTokens: typeof wire.prompt_tokens === 'number' ? wire.prompt_tokens : undefined,
    replyTokens: typeof wire.reply_tokens === 'number' ? wire.reply_tokens : undefined,
    node: String(wire.node),
    writtenAt: new Date(String(wire.written_at)),
  };
}
