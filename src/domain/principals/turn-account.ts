import type { UserId } from '../identifiers.ts';
import type { Limits } from './limits.ts';

/** To whom turns are counted. */
export interface TurnAccount {
  /** Name of the principal. */
  readonly principal: string;
  /** Empty for one that nothing limits. */
  readonly limits: Limits;
  /** Throws what {@link enter} would now, and counts nothing. */
  requireTurn(userId: UserId | undefined): void;
  /**
   * A turn begins; what it returns is called when it has ended, however. `userId`: whose turn it is, where that is known. Throws
   * `rate_limited` while there are too many, and while ids are used up.
   */
  enter(userId: UserId | undefined): () => void;
  /**
   * The LLM Service begins to work on as many ids as these, at most. What it returns is called with how many they were; `undefined` where
   * ids are not counted. Throws `rate_limited` while they are used up, those reserved for turns under way included.
   */
  reserve(ids: number): ((spentIds: number) => void) | undefined;
}
