import type { UserId } from '../domain/identifiers.ts';
import type { SessionRow } from './session-row.ts';

/**
 * Bytes of each user's sessions, to tell whose may be evicted: those of users who have more than an equal part of what eviction
 * leaves. While there is too much, somebody has.
 */
export class UserBytes {
  readonly #bytes = new Map<UserId, number>();

  /** A session was `before`, and is `after`. */
  count(userId: UserId, before: SessionRow | undefined, after: SessionRow | undefined): void {
    const bytes = (this.#bytes.get(userId) ?? 0) + evictable(after) - evictable(before);
    if (bytes > 0) this.#bytes.set(userId, bytes);
    else this.#bytes.delete(userId);
  }

  /** `bytes` are what eviction leaves. */
  isWithinPart(userId: UserId, bytes: number): boolean {
    return (this.#bytes.get(userId) ?? 0) <= bytes / this.#bytes.size;
  }
}

/** A tombstone is not evicted. */
function evictable(row: SessionRow | undefined): number {
  return row === undefined || row.deleted ? 0 : row.bytes;
}
