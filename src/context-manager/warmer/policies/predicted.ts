import type { LearnedMovement } from '../learned-movement.ts';
import { MovementStatistics } from '../movement-statistics.ts';
import { ReturnTimes } from '../return-times.ts';
import type { NodesInView, WarmingPolicy } from '../warming-policy.ts';

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
  const movement = new MovementStatistics(before?.situations);
  const returns = new ReturnTimes(before?.returns);
  return {
    learned: () => ({ situations: movement.learned, returns: returns.learned }),
    learn({ visits }) {
      const [to, from] = [visits.at(-1), visits.at(-2)];
      if (to === undefined || from === undefined) return;
      movement.learn(visits.slice(0, -1), to);
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
