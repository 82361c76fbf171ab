import { isDocument } from '../domain/cluster/documents.ts';
import type { SessionKey, UserId } from '../domain/identifiers.ts';
import type { SessionRow } from './session-row.ts';

/**
 * Bytes of each user's sessions, to tell whose may be evicted: those of users who have more than an equal part of what eviction
 * leaves. While there is too much that may be evicted, somebody has.
 */
export class UserBytes {
  readonly #bytes = new Map<UserId, number>();
  /** Of what is never evicted, and so is nobody's part. */
  #kept = 0;

  /** A session was `before`, and is `after`. */
  count(key: SessionKey, before: SessionRow | undefined, after: SessionRow | undefined): void {
    const evictableMore = evictable(key, after) - evictable(key, before);
    this.#kept += (after?.bytes ?? 0) - (before?.bytes ?? 0) - evictableMore;
    const bytes = (this.#bytes.get(key.userId) ?? 0) + evictableMore;
    if (bytes > 0) this.#bytes.set(key.userId, bytes);
    else this.#bytes.delete(key.userId);
  }

  /** `bytes` are what eviction leaves of everything. */
  isWithinPart(userId: UserId, bytes: number): boolean {
    return (this.#bytes.get(userId) ?? 0) <= (bytes - this.#kept) / this.#bytes.size;
  }
}

/** Neither a tombstone nor a document is evicted. */
function evictable(key: SessionKey, row: SessionRow | undefined): number {
  return row === undefined || row.deleted || isDocument(key) ? 0 : row.bytes;
}
