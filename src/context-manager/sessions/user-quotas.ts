import { DiscedgeError } from '../../domain/errors.ts';
import { type SessionKey, type SessionKeyText, sessionKeyText, type UserId } from '../../domain/identifiers.ts';
import type { TurnAccount } from '../../domain/principals/turn-account.ts';
import type { UserUsage } from './user-usage.ts';

export interface Holding {
  /** To whom it is counted; `undefined` where nothing limits it. */
  readonly account: TurnAccount | undefined;
  readonly key: SessionKey;
  /** Of what is written, where that is known before; left out: it is not. */
  readonly bytes?: number;
}

/** Sees to it that users have no more in this node's store than their principal's limits allow. */
export class UserQuotas {
  readonly #usage: UserUsage;
  /** New sessions that turns under way would open: they are counted before they are stored. */
  readonly #opening = new Map<UserId, Map<SessionKeyText, number>>();

  constructor(usage: UserUsage) {
    this.#usage = usage;
  }

  /**
   * Runs what writes to a session, which is counted meanwhile. Throws `quota_exceeded` instead for a session that would be one too many,
   * and for any while the user has as many bytes as it may, or would have more of those that are known before: those of records that are
   * written side by side may go beyond.
   */
  async holding<T>({ account, ...written }: Holding, write: () => Promise<T>): Promise<T> {
    if (account?.limits.sessions === undefined && account?.limits.bytes === undefined) return write();
    const release = await this.#hold(account, written);
    try {
      return await write();
    } finally {
      release();
    }
  }

  async #hold({ limits }: TurnAccount, { key, bytes: more = 0 }: Omit<Holding, 'account'>): Promise<() => void> {
    const usage = await this.#usage.of(key.userId);
    const { bytes = Number.POSITIVE_INFINITY, sessions = Number.POSITIVE_INFINITY } = limits;
    if (usage.bytes >= bytes)
      throw exceeded(`this user has ${usage.bytes} bytes of records here, of ${bytes} that it may have`);
    if (usage.bytes + more > bytes)
      throw exceeded(`this user has ${usage.bytes} bytes of records here, and may not have ${more} more of ${bytes}`);
    const keyText = sessionKeyText(key);
    if (usage.has(keyText)) return () => {};
    const opening = this.#opening.get(key.userId) ?? new Map<SessionKeyText, number>();
    const others = [...opening.keys()].filter((one) => one !== keyText && !usage.has(one)).length;
    if (usage.sessions + others >= sessions)
      throw exceeded(`this user may have ${sessions} sessions here, and has them`);
    this.#opening.set(key.userId, opening);
    opening.set(keyText, (opening.get(keyText) ?? 0) + 1);
    return () => this.#release(key.userId, keyText);
  }

  #release(userId: UserId, keyText: SessionKeyText): void {
    const opening = this.#opening.get(userId);
    const left = (opening?.get(keyText) ?? 0) - 1;
    if (left > 0) opening?.set(keyText, left);
    else opening?.delete(keyText);
    if (opening?.size === 0) this.#opening.delete(userId);
  }
}

function exceeded(why: string): DiscedgeError {
  return new DiscedgeError('quota_exceeded', `${why}: delete some, or wait until they are over`);
}
