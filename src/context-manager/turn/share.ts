import type { UserId } from '../../domain/identifiers.ts';

/**
 * Whose work it is, among those who share what a node can do at once: every principal has an equal share, and of a principal's
 * share every user that it acts for has an equal part.
 */
export interface Share {
  /** Name of the principal; empty: the node itself. */
  readonly principal: string;
  /** `undefined` where it is nobody's by name. */
  readonly userId: UserId | undefined;
}

interface PrincipalCount {
  turns: number;
  readonly users: Map<UserId | undefined, number>;
}

/** How much of something each principal has, and each of its users; of those with none nothing is kept. */
export class ShareCounts {
  readonly #principals = new Map<string, PrincipalCount>();

  add({ principal, userId }: Share): void {
    const count = this.#principals.get(principal);
    if (count === undefined) {
      this.#principals.set(principal, { turns: 1, users: new Map([[userId, 1]]) });
      return;
    }
    count.turns++;
    count.users.set(userId, (count.users.get(userId) ?? 0) + 1);
  }

  remove({ principal, userId }: Share): void {
    const count = this.#principals.get(principal);
    const ofUser = count?.users.get(userId);
    if (count === undefined || ofUser === undefined) throw new TypeError('taken away more often than added');
    if (--count.turns === 0) this.#principals.delete(principal);
    else if (ofUser > 1) count.users.set(userId, ofUser - 1);
    else count.users.delete(userId);
  }

  ofPrincipal({ principal }: Pick<Share, 'principal'>): number {
    return this.#principals.get(principal)?.turns ?? 0;
  }

  ofUser({ principal, userId }: Share): number {
    return this.#principals.get(principal)?.users.get(userId) ?? 0;
  }

  /**
   * Whether another principal would still have more than this one with one more, or another user of this principal more than this
   * user: then one more is within the share. It takes time in proportion to how many principals and users have any.
   */
  isWithinShare(share: Share): boolean {
    const turns = this.ofPrincipal(share) + 1;
    for (const [principal, count] of this.#principals)
      if (principal !== share.principal && count.turns > turns) return true;
    const ofUser = this.ofUser(share) + 1;
    for (const count of this.#principals.get(share.principal)?.users.values() ?? []) if (count > ofUser) return true;
    return false;
  }
}
