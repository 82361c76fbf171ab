/** Sessions removed by one `expire` or one eviction: a few milliseconds of work between turns. */
export const SESSIONS_REMOVED_MAX = 256;

/** Records removed by one `expire` or one eviction, the last session's counted whole. */
export const RECORDS_REMOVED_MAX = 2_000;

/** Eviction frees this much more than it must, so that it is not needed again at the next turn. */
export const EVICTION_TARGET = 0.9;

/**
 * Sessions of users within their part that one eviction passes over, some ten milliseconds of work; then it takes those unused for
 * longest, whosever they are.
 */
export const SESSIONS_SPARED_MAX = 10_000;

/** Largest page of `list`. */
export const LIST_LIMIT_MAX = 1_000;

/** Sessions that one `list` looks at, those that it does not list included: a few milliseconds of work. */
export const LIST_ROWS_MAX = 1_000;

/**
 * A session read again within this time is not noted as used again: eviction looks back over hours, and reading should
 * not cause writes.
 */
export const USE_NOTED_EVERY_MS = 60_000;
