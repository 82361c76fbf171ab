import { createHash } from 'node:crypto';
import type { SessionId } from '../../../../domain/identifiers.ts';

/** Far more than a client library has under way; each is some 150 bytes. */
const OPENINGS_MAX = 10_000;

/**
 * The sessions that were opened last, by the request that opened them. A client library that sends a request again says so, but
 * not which one it repeats; and one that opens a session names none.
 */
export class RecentOpenings {
  readonly #sessions = new Map<string, SessionId>();

  note(request: unknown, sessionId: SessionId): void {
    const key = keyOf(request);
    this.#sessions.delete(key);
    this.#sessions.set(key, sessionId);
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size <= OPENINGS_MAX) return;
      this.#sessions.delete(oldest);
    }
  }

  /** The one that an equal request has opened at this node. */
  find(request: unknown): SessionId | undefined {
    return this.#sessions.get(keyOf(request));
  }
}

const keyOf = (request: unknown) => createHash('sha256').update(JSON.stringify(request)).digest('base64');

/** The session that a request with this key of its client's opens, at whichever node. */
export function keyedSession(userId: string, idempotencyKey: string): SessionId {
  const hex = createHash('sha256')
    .update(JSON.stringify(['session', userId, idempotencyKey]))
    .digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    '-',
  ) as SessionId;
}
