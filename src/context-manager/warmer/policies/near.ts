import type { NodeId } from '../../../domain/identifiers.ts';
import type { NodesInView, PlacedNode, WarmingPolicy } from '../warming-policy.ts';

/** Kilometres east and north of a place. */
interface Offset {
  readonly east: number;
  readonly north: number;
}

/** Nodes that a direction of travel is taken from. */
const NODES_OF_A_DIRECTION = 3;
const KM_PER_DEGREE = 111.2;

/**
 * A session is expected at one node: the nearest of those ahead, in the direction in which its client went from node to
 * node; where it stays at one, or nothing lies ahead, the nearest to where it is. Nodes without a location are passed over.
 */
export function nearPolicy(nodes: NodesInView): WarmingPolicy {
  return {
    expect({ visits }) {
      const all = [nodes.self, ...nodes.others()];
      const passed = lastNodes(visits.map(({ node }) => node)).map((id) => all.find(({ nodeId }) => nodeId === id));
      const here = passed.at(-1);
      if (here?.location === undefined) return undefined;
      // Whoever stays may go on to stay.
      if (here === nodes.self && visits.at(-2)?.node === here.nodeId) return undefined;
      // Who has turned round comes from the other side.
      const from = passed.find((node) => node?.location !== undefined && node !== here);
      const direction = from && offset(from, here);
      const isHere = nearestAhead(here, direction, all)?.nodeId === nodes.self.nodeId;
      return { chance: isHere ? 1 : 0, isWorth: isHere };
    },
  };
}

/** The last few, one after another, without those where it stayed. */
function lastNodes(visited: readonly NodeId[]): readonly NodeId[] {
  return visited.filter((node, index) => node !== visited[index + 1]).slice(-NODES_OF_A_DIRECTION);
}

function nearestAhead(
  here: PlacedNode,
  direction: Offset | undefined,
  all: readonly PlacedNode[],
): PlacedNode | undefined {
  const others = all
    .filter((node) => node !== here && node.location !== undefined)
    .map((node) => ({ node, to: offset(here, node) }));
  const ahead = direction === undefined ? [] : others.filter(({ to }) => dot(to, direction) > 0);
  const [nearest] = (ahead.length > 0 ? ahead : others).sort(byDistance);
  return nearest?.node;
}

interface Place {
  readonly node: PlacedNode;
  readonly to: Offset;
}

/** Of two as near every node chooses the same. */
function byDistance(a: Place, b: Place): number {
  return dot(a.to, a.to) - dot(b.to, b.to) || (a.node.nodeId < b.node.nodeId ? -1 : 1);
}

/** On a plane, which the earth is over the distance between two nodes that a client goes from one to the other. */
function offset(from: PlacedNode, to: PlacedNode): Offset {
  const [a, b] = [from.location, to.location] as [
    NonNullable<PlacedNode['location']>,
    NonNullable<PlacedNode['location']>,
  ];
  const degrees = ((b.longitude - a.longitude + 540) % 360) - 180;
  const narrowing = Math.cos((((a.latitude + b.latitude) / 2) * Math.PI) / 180);
  return { east: degrees * narrowing * KM_PER_DEGREE, north: (b.latitude - a.latitude) * KM_PER_DEGREE };
}

function dot(a: Offset, b: Offset): number {
  return a.east * b.east + a.north * b.north;
}
