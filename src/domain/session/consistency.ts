/** `strong`: turn n+1 is never answered from fewer than n turns. `available`: answer from what is here, and say so. */
export type Consistency = 'strong' | 'available';
export const CONSISTENCIES = ['strong', 'available'] as const;

/** Where a turn's record is durable when its reply ends: `local`: on the node that answered; `replicated`: on a peer as well. */
export type WriteConcern = 'local' | 'replicated';
export const WRITE_CONCERNS = ['local', 'replicated'] as const;

/**
 * What makes a turn that waits for an earlier one look again. `event`: its arrival. `fixed`: the paper's way, so many
 * times, a fixed time apart, whatever has arrived.
 */
export type TurnGatePolicy = 'event' | 'fixed';
export const TURN_GATE_POLICIES = ['event', 'fixed'] as const;
