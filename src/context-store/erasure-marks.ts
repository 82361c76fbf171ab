import { ownerOf } from '../domain/cluster/documents.ts';
import { DiscedgeError } from '../domain/errors.ts';
import type { SessionKey, UserId } from '../domain/identifiers.ts';
import { ERASURES, type Erasure, erasureKey, erasureOf, isErasedBy } from '../domain/record/erasure.ts';
import type { SessionRecord } from '../domain/record/turn-record.ts';

/** The erasures of users that a store holds: a hundred bytes each, for as long as a record of the user may still come. */
export class ErasureMarks {
  readonly #erasures = new Map<UserId, readonly Erasure[]>();

  /** Takes in a record that is held. */
  note(record: SessionRecord): void {
    const erasure = erasureOf(record);
    if (erasure === undefined) return;
    const known = this.of(erasure.userId);
    if (known.some(({ receiptId }) => receiptId === erasure.receiptId)) return;
    this.#erasures.set(erasure.userId, [...known, erasure]);
  }

  /** A session is not held any more. */
  forget(key: SessionKey): void {
    if (key.userId === ERASURES && key.keygroup === erasureKey(ERASURES).keygroup)
      this.#erasures.delete(key.sessionId as string as UserId);
  }

  of(userId: UserId): readonly Erasure[] {
    return this.#erasures.get(userId) ?? [];
  }

  get all(): readonly Erasure[] {
    return [...this.#erasures.values()].flat();
  }

  /** The stamp of the user's latest erasure; 0 where there was none. */
  latest(userId: UserId): number {
    return this.of(userId).reduce((latest, { stamp }) => Math.max(latest, stamp), 0);
  }

  erases(record: SessionRecord): boolean {
    if (this.#erasures.size === 0) return false;
    const userId = ownerOf(record);
    return userId !== undefined && isErasedBy(record, { userId, stamp: this.latest(userId) });
  }

  /** Erasure is final: throws `session_deleted` for a record that it is of and that comes after it. */
  refuse(record: SessionRecord): void {
    if (!this.erases(record)) return;
    throw new DiscedgeError('session_deleted', 'everything of this user was erased; begin anew');
  }
}
