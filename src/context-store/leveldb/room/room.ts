import { DiscedgeError } from '../../../domain/errors.ts';
import type { WhenFull } from '../../../domain/when-full.ts';
import type { Environment } from '../../../environment/environment.ts';
import {
  FULL_TRIED_AGAIN_AFTER_MS,
  HELD_ELSEWHERE_EVICTION,
  LOOKED_AGAIN_AFTER,
  OTHERS_ASKED_FROM,
} from '../../store-limits.ts';
import type { UserBytes } from '../../user-bytes.ts';
import type { SessionChanges, StoreTotals } from '../session-changes.ts';
import { type IndexKey, type Tables, userBytesIn } from '../tables/tables.ts';
import { type Evicted, Eviction, type EvictionParts, NOTHING_EVICTED } from './eviction.ts';
import type { EvictedLog, OtherHolders } from './other-holders.ts';

export interface RoomLimits {
  /** Of sealed records. */
  readonly bytesMax: number;
  /** `evict` by default. */
  readonly whenFull?: WhenFull | undefined;
}

/** What a group of work leaves room for. */
export interface RoomMade {
  readonly evicted: Evicted;
  /** As after the group; `undefined` where nobody has counted. */
  readonly users: UserBytes | undefined;
}

/** What a group of work that is durable has done about room. */
export interface ToldRoom {
  readonly evicted: Evicted;
  readonly logs: readonly EvictedLog[];
  /** That the store has now. */
  readonly bytes: number;
  /** Nobody looks any more at what others would answer. */
  readonly isClosing: boolean;
}

/** Keeps a store within its size: when something has to go, how much has gone, and who is told of it. */
export class Room {
  readonly #bytesMax: number;
  readonly #whenFull: WhenFull;
  readonly #environment: Environment;
  /** Set once there was too much: nobody asks before. */
  #users: UserBytes | undefined;
  #others: OtherHolders | undefined;
  /** So full the store has to be before one looks again for what others hold. */
  #lookedForBytes = 0;
  /** Where an eviction goes on to look at what it had put back. */
  #lookedAgainAt: IndexKey | undefined;
  #evictedSessions = 0;
  #evictedLastCopies = 0;
  #triedAtMs = Number.NEGATIVE_INFINITY;

  constructor({ bytesMax, whenFull = 'evict' }: RoomLimits, environment: Environment) {
    this.#bytesMax = bytesMax;
    this.#whenFull = whenFull;
    this.#environment = environment;
  }

  /** Sessions since the start; of them, those that no other node was known to hold. */
  get evicted(): { readonly evictedSessions: number; readonly evictedLastCopies: number } {
    return { evictedSessions: this.#evictedSessions, evictedLastCopies: this.#evictedLastCopies };
  }

  /** From here on what others hold goes first, and they are told of what is evicted. */
  shareWith(others: OtherHolders): void {
    this.#others = others;
  }

  /**
   * Throws `store_unavailable` where there is too much already and nothing that may go, as was found in the last second:
   * `tryAgain` is called once in that time, to make a group of no work.
   */
  require({ bytes }: StoreTotals, tryAgain: () => void): void {
    if (!this.#isOverfull(bytes)) return;
    const nowMs = this.#environment.clock.monotonic();
    if (nowMs - this.#triedAtMs >= FULL_TRIED_AGAIN_AFTER_MS) {
      this.#triedAtMs = nowMs;
      tryAgain();
    }
    throw new DiscedgeError(
      'store_unavailable',
      'the context store takes no turns: it is full of sessions that no other node is known to hold',
    );
  }

  /** Removes, in this group, what has no room beside it. `totals` are as before the group. */
  async make(changes: SessionChanges, tables: Tables, totals: StoreTotals): Promise<RoomMade> {
    const exceeds = changes.exceed(totals, this.#evictsFrom) || this.#isOverfull(totals.bytes);
    const users = this.#users ?? (exceeds ? await userBytesIn(tables) : undefined);
    // Counted anew where the group does not become durable.
    this.#users = undefined;
    if (users !== undefined) changes.countTo(users);
    const isFull = users !== undefined && exceeds;
    const evicted = isFull ? await this.#evict(changes, { tables, totals, users }) : NOTHING_EVICTED;
    const made = { users, evicted };
    // Nothing is written of it.
    if (changes.isEmpty) this.counted(made);
    return made;
  }

  async #evict(changes: SessionChanges, parts: Pick<EvictionParts, 'tables' | 'totals' | 'users'>): Promise<Evicted> {
    const [bytesMax, others, lookedAgainAt] = [this.#bytesMax, this.#others, this.#lookedAgainAt];
    const keepsLastCopies = this.#whenFull === 'refuse';
    const limits = { bytesMax, others, keepsLastCopies, lookedAgainAt };
    const evicted = await new Eviction({ changes, ...parts, ...limits }).run();
    this.#lookedAgainAt = evicted.lookedAgainAt;
    const isFutile = evicted.sessions === 0 && !evicted.isSpent;
    this.#lookedForBytes = isFutile ? changes.totalsAfter(parts.totals).bytes + bytesMax * LOOKED_AGAIN_AFTER : 0;
    return evicted;
  }

  /** The group is durable at the first try. */
  counted({ users }: RoomMade): void {
    this.#users = users;
  }

  /** A group is durable. Never throws: what others are not told now they hear when they greet. */
  tell({ evicted, logs, bytes, isClosing }: ToldRoom): void {
    if (evicted.sessions > 0) this.#log(evicted, bytes);
    try {
      if (logs.length > 0) this.#others?.tellEvicted(logs);
      if (bytes > this.#bytesMax * OTHERS_ASKED_FROM && !isClosing) this.#others?.ask();
    } catch (error) {
      this.#environment.logger.warn('eviction_not_told', {}, error);
    }
  }

  /** Never where last copies go. */
  #isOverfull(bytes: number): boolean {
    return this.#whenFull === 'refuse' && bytes > this.#bytesMax;
  }

  get #evictsFrom(): number {
    if (this.#others?.areThere !== true) return this.#bytesMax;
    const from = Math.max(this.#bytesMax * HELD_ELSEWHERE_EVICTION.from, this.#lookedForBytes);
    return Math.min(this.#bytesMax, from);
  }

  /** A warning where a session is gone before its time, whichever node is asked. */
  #log({ sessions, lastCopies }: Evicted, bytes: number): void {
    this.#evictedSessions += sessions;
    this.#evictedLastCopies += lastCopies;
    const fields = { sessions, lastCopies, bytes };
    const { logger } = this.#environment;
    if (lastCopies > 0) logger.warn('sessions_evicted', fields);
    else logger.info('sessions_evicted', fields);
  }
}
