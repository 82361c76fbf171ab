import type { NodeId } from '../../domain/identifiers.ts';
import type { LearnedMovement, LearnedSituation } from './learned-movement.ts';
import type { Visit } from './warming-policy.ts';

/** Parts of a day that are told apart, by UTC: mornings are not as evenings. */
const DAY_PARTS = 4;
const DAY_PART_MS = 86_400_000 / DAY_PARTS;
/** What {@link situationsOf} tells apart. */
const ORDERS = 4;
/** So many turns have to be seen under something for it to count as much as what is less particular. */
const PRIOR_TURNS = 2;
/** Before any turn tells. With more of it chance is taken for a habit at first, with less habits are learned later. */
const FIRST_TRUST = 0.2;
/** Never surer than that: movement changes. */
const TRUST_MIN = 0.01;
/** Beyond so many the older ones count half: movement changes. */
const TURNS_MAX = 512;
/** Situations that are remembered, the ones seen last; of three nodes there are 60. */
const SITUATIONS_MAX = 2_048;
/** Nodes that are remembered to have followed one. */
const FOLLOWERS_MAX = 64;
/** Of what outlives the node: as many followers, of the situations seen last. */
const KEPT_FOLLOWERS_MAX = 8_192;

type MovementLearned = Pick<LearnedMovement, 'situations' | 'trust'>;

interface Followers {
  turns: number;
  readonly byNode: Map<NodeId, number>;
}

const NONE: Readonly<Followers> = { turns: 0, byNode: new Map() };

/**
 * Where turns were taken after what came before: from→to counts of first and second order, each also by part of the day.
 * The more particular a situation, the fewer turns it has seen: each is backed by the one that is less so, and counts only as far
 * as its order is trusted. Few turns always look like a habit. Whether they are one, further turns tell: the trust in an order is the
 * chance, by Bayes' rule, that it foretells turns better than what is less particular does, of all that were seen.
 */
export class MovementStatistics {
  readonly #situations = new Map<string, Followers>();
  readonly #trust: number[];

  /** `before`: what an earlier process learned, {@link learned}. */
  constructor({ situations, trust }: Partial<MovementLearned> = {}) {
    this.#trust = trust?.length === ORDERS ? [...trust] : new Array(ORDERS).fill(FIRST_TRUST);
    for (const [situation, turnsByNode] of situations?.slice(-SITUATIONS_MAX) ?? []) {
      const followers: Followers = { turns: 0, byNode: new Map() };
      for (const [node, turns] of turnsByNode.slice(-FOLLOWERS_MAX)) {
        followers.byNode.set(node, turns);
        followers.turns += turns;
      }
      this.#situations.set(situation, followers);
    }
  }

  /** The situations seen last, and these at the end. */
  get learned(): MovementLearned {
    const learned: LearnedSituation[] = [];
    let followers = 0;
    for (const [situation, { byNode }] of [...this.#situations].reverse()) {
      followers += byNode.size;
      if (followers > KEPT_FOLLOWERS_MAX) break;
      learned.push([situation, [...byNode]]);
    }
    return { situations: learned.reverse(), trust: [...this.#trust] };
  }

  /** A turn was taken at `to` after these, oldest first; `anywhere` as in {@link chanceOf}. */
  learn(before: readonly Visit[], to: Visit, anywhere: number): void {
    let general = anywhere;
    for (const [order, situation] of situationsOf(before, to.atMs).entries()) {
      const { own, chance } = this.#chancesIn(situation, { node: to.node, order, general });
      const trust = ((this.#trust[order] as number) * own) / chance;
      this.#trust[order] = Math.min(1 - TRUST_MIN, Math.max(TRUST_MIN, trust));
      this.#count(situation, to.node);
      general = chance;
    }
  }

  /** The chance that the next turn, at that time, is taken there; `anywhere` is what it is where nothing was seen. */
  chanceOf({ node, atMs }: Visit, before: readonly Visit[], anywhere: number): number {
    return situationsOf(before, atMs).reduce(
      (general, situation, order) => this.#chancesIn(situation, { node, order, general }).chance,
      anywhere,
    );
  }

  /** `own`: by the turns of that situation, backed by what is so in `general`; `chance`: as far as that is trusted. */
  #chancesIn(
    situation: string,
    { node, order, general }: { readonly node: NodeId; readonly order: number; readonly general: number },
  ): { readonly own: number; readonly chance: number } {
    const { turns, byNode } = this.#situations.get(situation) ?? NONE;
    const own = ((byNode.get(node) ?? 0) + PRIOR_TURNS * general) / (turns + PRIOR_TURNS);
    return { own, chance: general + (this.#trust[order] as number) * (own - general) };
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
