/**
 * How much longer than its records name a session lives on nodes that share it (DESIGN §4): where nobody keeps the clocks
 * they differ by minutes, and on a node whose clock is ahead a session must not end before its time.
 */
const EXPIRY_GRACE_MS = 10 * 60_000;

/**
 * When it may be removed there: as long again, so that a turn which another node took in the last moment, by its own
 * clock, still finds the turns before it.
 */
const REMOVAL_GRACE_MS = 2 * EXPIRY_GRACE_MS;

/**
 * The same on a node that does not hear from all its peers: any of them may have prolonged the session, and what is removed
 * here would not be sent again. A week is longer than a machine is usually away, and bounds what is kept for nothing.
 */
const CUT_OFF_GRACE_MS = 7 * 24 * 3_600_000;

/** Longer than any record can still be under way, with room for skewed clocks: what a tombstone adds to the longest TTL. */
const TOMBSTONE_GRACE_MS = 24 * 3_600_000;

/** What carries records to peers keeps them that much beyond the longest TTL: clocks differ, and late is not lost. */
const CARRIER_GRACE_MS = 3_600_000;

/**
 * How long a node keeps what it holds (DESIGN §4, "TTL"), which depends on whether other nodes hold it too. Times are Unix
 * milliseconds by the node's time (`node-time.ts`); "now" is what has ended by it.
 */
export class Lifetimes {
  /** Of a node that shares its contexts with no other: a session ends at the time its records name. */
  static readonly alone = new Lifetimes({ overMs: 0, removalMs: 0, cutOffMs: 0 });
  static readonly shared = new Lifetimes({
    overMs: EXPIRY_GRACE_MS,
    removalMs: REMOVAL_GRACE_MS,
    cutOffMs: CUT_OFF_GRACE_MS,
  });

  readonly #grace: { readonly overMs: number; readonly removalMs: number; readonly cutOffMs: number };

  private constructor(grace: { overMs: number; removalMs: number; cutOffMs: number }) {
    this.#grace = grace;
  }

  /** Whether a session that is over is removed at once: nothing can be under way that prolongs it. */
  get endsAtOnce(): boolean {
    return this.#grace.removalMs === 0;
  }

  /** Whether a session whose records live until `expiresAtMs` is over: from that millisecond on, or a grace later. */
  isOver(expiresAtMs: number, nowMs: number): boolean {
    return expiresAtMs <= this.overUpTo(nowMs);
  }

  /** Sessions whose records live until this time, or less long, are over. */
  overUpTo(nowMs: number): number {
    return nowMs - this.#grace.overMs;
  }

  /** Those that may be removed. `hearsFromAll`: every record that peers have written by now is here. */
  removableUpTo(nowMs: number, { hearsFromAll }: { readonly hearsFromAll: boolean }): number {
    return nowMs - (hearsFromAll ? this.#grace.removalMs : this.#grace.cutOffMs);
  }

  /** How long a session stays deleted: longer than any of its records can live, whoever wrote it. */
  static tombstoneExpiresAtMs(session: { expiresAtMs: number; deletedAtMs: number; ttlMsMax: number }): number {
    return Math.max(session.expiresAtMs, session.deletedAtMs + session.ttlMsMax) + TOMBSTONE_GRACE_MS;
  }

  /** The longest that anything is kept: a deletion, of what may live longest. */
  static longestMs(ttlMsMax: number): number {
    return ttlMsMax + TOMBSTONE_GRACE_MS;
  }

  /** How long a record is kept for peers that are away. */
  static carriedMs(ttlMsMax: number): number {
    return ttlMsMax + CARRIER_GRACE_MS;
  }
}
