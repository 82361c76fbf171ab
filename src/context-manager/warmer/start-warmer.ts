import type { KeygroupId } from '../../domain/identifiers.ts';
import type { LlmService } from '../../llm-service/llm-service.ts';
import type { NodeResources } from '../node-resources.ts';
import { type BuildPrompt, nextPrompt } from './next-prompt.ts';
import { nodesInView } from './nodes-in-view.ts';
import { policyOf } from './policies.ts';
import { Warmer } from './warmer.ts';
import { WarmingBudget } from './warming-budget.ts';
import { WarmingPlan } from './warming-plan.ts';

/**
 * What warms the sessions of one model; `undefined` where nothing is warmed: an LLM Service that cannot, contexts that are shared
 * with no other node, and where the node is told not to.
 */
export function startWarmer(
  { warming }: Pick<LlmService, 'warming'>,
  keygroup: KeygroupId,
  { node, build }: { readonly node: NodeResources; readonly build: BuildPrompt },
): Warmer | undefined {
  const { records, options, environment } = node;
  const { sharing } = records;
  if (warming === undefined || sharing === undefined) return undefined;
  const { clock, logger } = environment;
  const { nodeId, warming: name } = options;
  const nodes = nodesInView(
    { keygroup, nodeId },
    { status: () => sharing.status(), monotonic: () => clock.monotonic() },
  );
  const before = node.movementBefore.get(keygroup);
  const policy = policyOf(name, nodes, { leastChance: options.warmingChancePercent / 100, before });
  if (policy === undefined) return undefined;
  const warmer = new Warmer({
    warming,
    keygroup,
    records,
    policy: name,
    plan: new WarmingPlan(policy, clock),
    budget: new WarmingBudget({ idsPerSecond: options.warmingIdsPerSecond, kvBytes: options.warmingKvBytes }),
    nextPrompt: (session) => nextPrompt(session, build),
    clock,
    logger,
  });
  node.onClosing(() => warmer.stop());
  return warmer;
}
