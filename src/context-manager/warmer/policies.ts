import type { WarmingPolicyName } from '../../domain/warming-policies.ts';
import type { LearnedMovement } from './learned-movement.ts';
import { allPolicy } from './policies/all.ts';
import { hintedPolicy, orHinted } from './policies/hinted.ts';
import { nearPolicy } from './policies/near.ts';
import { predictedPolicy } from './policies/predicted.ts';
import type { NodesInView, WarmingPolicy } from './warming-policy.ts';

/** The policy of that name; `undefined` where nothing is warmed. */
export function policyOf(
  name: WarmingPolicyName,
  nodes: NodesInView,
  options: { readonly leastChance: number; readonly before?: LearnedMovement | undefined },
): WarmingPolicy | undefined {
  switch (name) {
    case 'off':
      return undefined;
    case 'all':
      return allPolicy;
    case 'hinted':
      return hintedPolicy(nodes);
    case 'near':
      return orHinted(nearPolicy(nodes), nodes);
    case 'predicted':
      return orHinted(predictedPolicy(nodes, options), nodes);
  }
}
