import type { NodeId } from '../../domain/identifiers.ts';
import type { LearnedSituation } from './learned-movement.ts';
import type { Visit } from './warming-policy.ts';

/** Parts of a day that are told apart, by UTC: mornings are not as evenings. */
const DAY_PARTS = 4;
const DAY_PART_MS = 86_400_000 / DAY_PARTS;
/** So many turns have to be seen under something for it to count as much as what is less particular. */
const PRIOR_TURNS = 2;
/** Beyond so many the older ones count half: movement changes. */
const TURNS_MAX = 512;
/** Situations that are remembered, the ones seen last; of three nodes there are 60. */
const SITUATIONS_MAX = 2_048;
/** Nodes that are remembered to have followed one. */
const FOLLOWERS_MAX = 64;
/** Of what outlives the node: as many followers, of the situations seen last. */
const KEPT_FOLLOWERS_MAX = 8_192;

interface Followers {
  turns: number;
  readonly byNode: Map<NodeId, number>;
}

/**
 * Where turns were taken after what came before: from→to counts of first and second order, each also by part of the day.
 * The more particular a situation, the fewer turns it has seen: each is backed by the one that is less so.
 */
export class MovementStatistics {
  readonly #situations = new Map<string, Followers>();

  /** `before`: what an earlier process learned, {@link learned}. */
  constructor(before: readonly LearnedSituation[] = []) {
    for (const [situation, turnsByNode] of before.slice(-SITUATIONS_MAX)) {
      const followers: Followers = { turns: 0, byNode: new Map() };
      for (const [node, turns] of turnsByNode.slice(-FOLLOWERS_MAX)) {
        followers.byNode.set(node, turns);
        followers.turns += turns;
      }
      this.#situations.set(situation, followers);
    }
  }

  /** The situations seen last, and these at the end. */
  get learned(): LearnedSituation[] {
    const learned: LearnedSituation[] = [];
    let followers = 0;
    for (const [situation, { byNode }] of [...this.#situations].reverse()) {
      followers += byNode.size;
      if (followers > KEPT_FOLLOWERS_MAX) break;
      learned.push([situation, [...byNode]]);
    }
    return learned.reverse();
  }

  /** A turn was taken at `to` after these, oldest first. */
  learn(before: readonly Visit[], to: Visit): void {
    for (const situation of situationsOf(before, to.atMs)) this.#count(situation, to.node);
  }

  /** The chance that the next turn, at that time, is taken there; `anywhere` is what it is where nothing was seen. */
  chanceOf({ node, atMs }: Visit, before: readonly Visit[], anywhere: number): number {
    let chance = anywhere;
    for (const situation of situationsOf(before, atMs)) {
      const followers = this.#situations.get(situation);
      if (followers === undefined) continue;
      chance = ((followers.byNode.get(node) ?? 0) + PRIOR_TURNS * chance) / (followers.turns + PRIOR_TURNS);
    }
    return chance;
  }

  #count(situation: string, node: NodeId): void {
    const followers = this.#situations.get(situation) ?? { turns: 0, byNode: new Map() };
    this.#situations.delete(situation);
    this.#situations.set(situation, followers);
    followers.turns++;
    followers.byNode.set(node, (followers.byNode.get(node) ?? 0) + 1);
    if (followers.turns >= TURNS_MAX || followers.byNode.size > FOLLOWERS_MAX) age(followers);
    if (this.#situations.size > SITUATIONS_MAX) {
      this.#situations.delete(this.#situations.keys().next().value as string);
    }
  }
}

/** From the least to the most particular. */
function situationsOf(before: readonly Visit[], atMs: number): string[] {
  const [last, earlier] = [before.at(-1), before.at(-2)];
  if (last === undefined) return [];
  const part = Math.floor(atMs / DAY_PART_MS) % DAY_PARTS;
  const first = [last.node, `${last.node} ${part}`];
  // No space is in a node's id.
  return earlier === undefined
    ? first
    : [...first, `${earlier.node} ${last.node} -`, `${earlier.node} ${last.node} ${part}`];
}

function age(followers: Followers): void {
  followers.turns = 0;
  for (const [node, count] of followers.byNode) {
    const half = count >> 1;
    if (half === 0) followers.byNode.delete(node);
    else followers.byNode.set(node, half);
    followers.turns += half;
  }
}
