import type { LearnedMovement } from '../learned-movement.ts';
import { MovementStatistics } from '../movement-statistics.ts';
import { ReturnTimes } from '../return-times.ts';
import type { NodesInView, Visit, WarmingPolicy } from '../warming-policy.ts';

/**
 * A session is expected by what the keygroup's turns have shown so far: where they are taken after such places, at such a
 * time of day, and whether there is a next one at all after so long. Until something is learned every node is as likely. Below
 * `leastChance`, 0 to 1, a context is not warmed: what is evaluated in vain costs more than what is spared. `before`: what it had
 * learned when the node ended.
 */
export function predictedPolicy(
  nodes: NodesInView,
  { leastChance, before }: { readonly leastChance: number; readonly before?: LearnedMovement | undefined },
): WarmingPolicy {
  const movement = new MovementStatistics(before);
  const returns = new ReturnTimes(before?.returns);
  return {
    learned: () => ({ ...movement.learned, returns: returns.learned }),
    learn({ visits }) {
      const [to, from] = [visits.at(-1), visits.at(-2)];
      if (to === undefined || from === undefined) return;
      movement.learn(visits.slice(0, -1), to, 1 / nodesWith(visits, nodes));
      returns.returned(to.atMs - from.atMs);
    },
    ended: () => returns.ended(),
    expect({ visits }, nowMs) {
      const anywhere = 1 / (1 + nodes.others().length);
      const { self } = nodes;
      const stillMs = nowMs - (visits.at(-1)?.atMs ?? nowMs);
      const here = movement.chanceOf({ node: self.nodeId, atMs: nowMs }, visits, anywhere);
      const chance = here * returns.chanceAfter(stillMs);
      return { chance, isWorth: chance >= leastChance };
    },
  };
}

/** Nodes in view, and those that may be no longer, or not yet, where these turns were taken. */
function nodesWith(visits: readonly Visit[], { self, others }: NodesInView): number {
  const inView = [self, ...others()].map(({ nodeId }) => nodeId);
  return new Set([...inView, ...visits.map(({ node }) => node)]).size;
}
