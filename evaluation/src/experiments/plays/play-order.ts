import type { Part, PlayResult, PlaySpec } from './play.ts';
import { seededOrder } from './seeded-order.ts';

/**
 * The plays of one repeat in an order drawn from the seed, so that what drifts on a shared machine favours no variant.
 * Levels of users go up, drawn within a level: nobody plays the next one where this one already gained nothing.
 */
export function playOrder(parts: readonly Part[], seed: string): PlaySpec[] {
  const plays = parts.flatMap((part) => part.plays);
  const drawn = seededOrder(plays, seed);
  return drawn.sort((a, b) => usersOf(a) - usersOf(b));
}

/** 0 for plays that are no levels: they are drawn from all of them. */
function usersOf({ script }: PlaySpec): number {
  return script.kind === 'load' ? script.scenario.users : 0;
}

/** A level that brings less than this much more than the best before it has brought nothing. */
const GAIN = 1.05;
const LEVELS_WITHOUT_GAIN_MAX = 2;

/** Knows when more users bring no more turns a second to any variant. */
export class Saturation {
  readonly #best = new Map<string, { turnsPerS: number; level: number }>();
  #last = 0;

  /** The level that brought the last gain, once levels are being left out. */
  level: number | undefined;
  readonly #levels: number[] = [];

  isReached(spec: PlaySpec): boolean {
    const users = usersOf(spec);
    if (users === 0) return false;
    if (users === this.#last) return this.level !== undefined;
    this.#last = users;
    const gained = Math.max(0, ...[...this.#best.values()].map(({ level }) => level));
    const without = this.#levels.filter((level) => level > gained).length;
    if (without >= LEVELS_WITHOUT_GAIN_MAX) this.level ??= gained;
    return this.level !== undefined;
  }

  heard(spec: PlaySpec, { turnsPerS }: PlayResult): void {
    if (turnsPerS === undefined) return;
    const level = usersOf(spec);
    if (!this.#levels.includes(level)) this.#levels.push(level);
    const key = `${spec.site.llmService}/${spec.variant}`;
    const best = this.#best.get(key);
    if (best === undefined || turnsPerS > best.turnsPerS * GAIN) this.#best.set(key, { turnsPerS, level });
  }
}
