/**
 * What a node does whose store is full of sessions that no other node is known to hold: `evict` the ones unused for longest, or
 * `refuse` turns until there is room.
 */
export const WHEN_FULL = ['evict', 'refuse'] as const;
export type WhenFull = (typeof WHEN_FULL)[number];
