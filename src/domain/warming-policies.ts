/** How a node comes to expect a session whose last turn was taken at another one; `off`: it expects none. */
export const WARMING_POLICIES = ['predicted', 'near', 'hinted', 'all', 'off'] as const;
export type WarmingPolicyName = (typeof WARMING_POLICIES)[number];
