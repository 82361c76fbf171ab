/** `strong`: turn n+1 is never answered from fewer than n turns. `available`: answer from what is here, and say so. */
export type Consistency = 'strong' | 'available';
export const CONSISTENCIES = ['strong', 'available'] as const;
