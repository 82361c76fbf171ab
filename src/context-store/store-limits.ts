/** Sessions removed by one `expire` or one eviction: a few milliseconds of work between turns. */
export const SESSIONS_REMOVED_MAX = 256;

/** Records removed by one `expire` or one eviction, the last session's counted whole. */
export const RECORDS_REMOVED_MAX = 2_000;

/** Eviction frees this much more than it must, so that it is not needed again at the next turn. */
export const EVICTION_TARGET = 0.9;

/**
 * Where nodes share, what others hold goes before the store is full, so that there is time to find it, and for others to say
 * that they have what was written last.
 */
export const HELD_ELSEWHERE_EVICTION = { from: 0.9, to: 0.8 };

/** No more than must go, but for what spares looking again at each turn. */
export const LAST_COPIES_EVICTION = { to: 0.99 };

/** So full a store asks the others what they have: well before that matters. */
export const OTHERS_ASKED_FROM = 0.8;

/** Where nothing was found that others hold, one looks again when the store is so much fuller. */
export const LOOKED_AGAIN_AFTER = 0.01;

/**
 * Sessions of users within their part that one eviction passes over, some ten milliseconds of work; where that is not enough and
 * the store is full, it takes those unused for longest, whosever they are.
 */
export const SESSIONS_SPARED_MAX = 10_000;

/** A full store that refuses looks so often whether others hold by now what they did not. */
export const FULL_TRIED_AGAIN_AFTER_MS = 1_000;

/** Largest page of `list`. */
export const LIST_LIMIT_MAX = 1_000;

/** Sessions that one `list` looks at, those that it does not list included: a few milliseconds of work. */
export const LIST_ROWS_MAX = 1_000;

/**
 * A session read again within this time is not noted as used again: eviction looks back over hours, and reading should
 * not cause writes.
 */
export const USE_NOTED_EVERY_MS = 60_000;
