import type { Expectation, NodesInView, Track, WarmingPolicy } from '../warming-policy.ts';

/** A session is expected where its client said: each of the nodes that it named is as likely. Names of no node are passed over. */
export function hintedPolicy(nodes: NodesInView): WarmingPolicy {
  return { expect: (track) => asSaid(track, nodes) };
}

/** What a client says of itself counts more than what is made of what it did before. */
export function orHinted(policy: WarmingPolicy, nodes: NodesInView): WarmingPolicy {
  return {
    learn: (track) => policy.learn?.(track),
    ended: (track) => policy.ended?.(track),
    learned: () => policy.learned?.(),
    expect: (track, nowMs) => asSaid(track, nodes) ?? policy.expect(track, nowMs),
  };
}

/** `undefined` where no node is named that is known. */
function asSaid({ nextNodes }: Track, { self, others }: NodesInView): Expectation | undefined {
  if (nextNodes.length === 0) return undefined;
  const known = new Set<string>([self.nodeId, ...others().map(({ nodeId }) => nodeId)]);
  const named = nextNodes.filter((node) => known.has(node));
  if (named.length === 0) return undefined;
  return named.includes(self.nodeId) ? { chance: 1 / named.length, isWorth: true } : { chance: 0, isWorth: false };
}
