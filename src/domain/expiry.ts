/**
 * How much longer than its records name a session lives on nodes that share it (DESIGN §4): where nobody keeps the clocks
 * they differ by minutes, and on a node whose clock is ahead a session must not end before its time.
 */
export const EXPIRY_GRACE_MS = 10 * 60_000;

/**
 * When it may be removed there: as long again, so that a turn which another node took in the last moment, by its own
 * clock, still finds the turns before it.
 */
export const REMOVAL_GRACE_MS = 2 * EXPIRY_GRACE_MS;

/**
 * The same on a node that does not hear from all its peers: any of them may have prolonged the session, and what is removed
 * here would not be sent again. A week is longer than a machine is usually away, and bounds what is kept for nothing.
 */
export const CUT_OFF_GRACE_MS = 7 * 24 * 3_600_000;

/** A session is over at the time named, and not in that millisecond. */
export function isOver({
  expiresAtMs,
  graceMs,
  nowMs,
}: {
  expiresAtMs: number;
  graceMs: number;
  nowMs: number;
}): boolean {
  return expiresAtMs + graceMs <= nowMs;
}
