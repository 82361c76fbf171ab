import { MovementStatistics } from '../movement-statistics.ts';
import { ReturnTimes } from '../return-times.ts';
import type { NodesInView, WarmingPolicy } from '../warming-policy.ts';

/**
 * A session is expected by what the keygroup's turns have shown so far: where they are taken after such places, at such a
 * time of day, and whether there is a next one at all after so long. Until something is learned every node is as likely. Below
 * `leastChance`, 0 to 1, a context is not warmed: what is evaluated in vain costs more than what is spared.
 */
export function predictedPolicy(nodes: NodesInView, { leastChance }: { readonly leastChance: number }): WarmingPolicy {
  const movement = new MovementStatistics();
  const returns = new ReturnTimes();
  return {
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
