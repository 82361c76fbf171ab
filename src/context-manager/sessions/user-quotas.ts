import { DiscedgeError } from '../../domain/errors.ts';
import { type SessionKey, type SessionKeyText, sessionKeyText, type UserId } from '../../domain/identifiers.ts';
import type { TurnAccount } from '../../domain/turn-account.ts';
import type { UserUsage } from './user-usage.ts';

/** Sees to it that users have no more in this node's store than their principal's limits allow. */
export class UserQuotas {
  readonly #usage: UserUsage;
  /** New sessions that turns under way would open: they are counted before they are stored. */
  readonly #opening = new Map<UserId, Map<SessionKeyText, number>>();

  constructor(usage: UserUsage) {
    this.#usage = usage;
  }

  /**
   * To be called before a record is written to a session; what it resolves with once that is done, or given up. Throws
   * `quota_exceeded` for a session that would be one too many, and for any while the user has as many bytes as it may: those of
   * records that are written side by side may go beyond.
   */
  hold(account: TurnAccount | undefined, key: SessionKey): Promise<() => void> | undefined {
    if (account?.limits.sessions === undefined && account?.limits.bytes === undefined) return undefined;
    return this.#hold(account, key);
  }

  async #hold({ limits }: TurnAccount, key: SessionKey): Promise<() => void> {
    const usage = await this.#usage.of(key.userId);
    const { bytes = Number.POSITIVE_INFINITY, sessions = Number.POSITIVE_INFINITY } = limits;
    if (usage.bytes >= bytes)
      throw exceeded(`this user has ${usage.bytes} bytes of records here, of ${bytes} that it may have`);
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
