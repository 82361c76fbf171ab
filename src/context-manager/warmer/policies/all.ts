import type { WarmingPolicy } from '../warming-policy.ts';

/** Every session is expected at every node. */
export const allPolicy: WarmingPolicy = { expect: () => ({ chance: 1, isWorth: true }) };
