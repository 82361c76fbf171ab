/** What a machine tells of time, in milliseconds. */
export interface TimeSources {
  /** The time of day. */
  readonly wallMs: () => number;
  /** Goes forward, and stands still while the machine sleeps. */
  readonly awakeMs: () => number;
  /** Goes on while it sleeps, in coarse steps; read from a file, which costs fifty times as much as the others. */
  readonly uptimeMs: () => number;
}

/** A sleep is longer; the machine's uptime comes in steps of 10 ms. */
const SLEEP_MS_MIN = 1_000;
/** A sleep puts the time of day ahead of the time awake at once, and an uptime is read; without a sign of one, so seldom. */
const AHEAD_MS_MIN = 100;
const UPTIME_READ_EVERY_MS = 1_000;

/** A time that only goes forward, with fractions of a millisecond, also while the machine sleeps. */
export function steadyTime({ wallMs, awakeMs, uptimeMs }: TimeSources): () => number {
  const startedAtMs = uptimeMs() - awakeMs();
  let asleepMs = 0;
  let read = { awakeMs: awakeMs(), aheadMs: wallMs() - awakeMs() };
  return () => {
    const nowMs = awakeMs();
    const aheadMs = wallMs() - nowMs;
    const isDue = nowMs - read.awakeMs >= UPTIME_READ_EVERY_MS || Math.abs(aheadMs - read.aheadMs) >= AHEAD_MS_MIN;
    if (isDue) {
      read = { awakeMs: nowMs, aheadMs };
      const missingMs = uptimeMs() - startedAtMs - nowMs - asleepMs;
      if (missingMs > SLEEP_MS_MIN) asleepMs += missingMs;
    }
    return nowMs + asleepMs;
  };
}
