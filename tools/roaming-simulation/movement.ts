import type { NodeId } from '../../src/domain/identifiers.ts';
import type { Chance } from '../chance.ts';

/** Where a client is, and what it takes to know where it goes. */
export interface Place {
  readonly node: number;
  /** −1 or 1, along a street. */
  readonly heading: number;
  /** Turns taken here in a row. */
  readonly turnsHere: number;
}

/** How clients move from turn to turn. */
export interface Movement {
  readonly nodes: number;
  next(place: Place, chance: Chance): Place;
  /** Where its client would say that it goes. */
  likeliest(place: Place): number;
  location(node: number): { readonly latitude: number; readonly longitude: number };
}

const PERCENT = 100;
const onCircle = (nodes: number) => (node: number) => ({
  latitude: 52.5 + 0.1 * Math.sin((2 * Math.PI * node) / nodes),
  longitude: 13.4 + 0.1 * Math.cos((2 * Math.PI * node) / nodes),
});

/** After each turn to the next node of a ring, at so many of a hundred; else it stays, or goes to any other. */
function ring(nodes: number, usual: number): Movement {
  const after = (node: number) => (node + 1) % nodes;
  return {
    nodes,
    next: ({ node, ...place }, chance) => {
      const isUsual = chance.below(PERCENT) < usual;
      const others = Array.from({ length: nodes }, (_, other) => other).filter((other) => other !== after(node));
      return { ...place, node: isUsual ? after(node) : chance.of(others) };
    },
    likeliest: ({ node }) => after(node),
    location: onCircle(nodes),
  };
}

/** Two turns at each node of a ring, as in the paper, then the same. */
function dwelling(nodes: number): Movement {
  const onRing = ring(nodes, 90);
  return {
    ...onRing,
    next: (place, chance) => {
      if (place.turnsHere < 2) return { ...place, turnsHere: place.turnsHere + 1 };
      return { ...onRing.next(place, chance), turnsHere: 1 };
    },
    likeliest: (place) => (place.turnsHere < 2 ? place.node : onRing.likeliest(place)),
  };
}

/** Up and down a street, turning at its ends, and once in ten turns anywhere. */
function street(nodes: number): Movement {
  const walked = ({ node, heading, turnsHere }: Place, turnsRound: boolean): Place => {
    const wanted = turnsRound ? -heading : heading;
    const onwards = node + wanted < 0 || node + wanted >= nodes ? -wanted : wanted;
    return { node: node + onwards, heading: onwards, turnsHere };
  };
  return {
    nodes,
    next: (place, chance) => walked(place, chance.below(PERCENT) >= 90),
    likeliest: (place) => walked(place, false).node,
    location: (node) => ({ latitude: 52.5, longitude: 13.4 + 0.02 * node }),
  };
}

/** Anywhere, as likely. */
function uniform(nodes: number): Movement {
  return {
    nodes,
    next: (place, chance) => ({ ...place, node: chance.below(nodes) }),
    likeliest: ({ node }) => node,
    location: onCircle(nodes),
  };
}

export const MOVEMENTS = {
  predictable: ring(3, 90),
  'half-predictable': ring(3, 60),
  dwelling: dwelling(3),
  street: street(6),
  uniform: uniform(3),
  'uniform-6': uniform(6),
} as const satisfies Record<string, Movement>;
export type MovementName = keyof typeof MOVEMENTS;

export const nodeIdOf = (node: number): NodeId => `e${node + 1}` as NodeId;
