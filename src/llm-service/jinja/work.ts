import { Dict, isList, JinjaError, Tuple, type Value } from './values.ts';

/**
 * What one rendering may do: expressions evaluated, statements run, characters and items made. Templates of models take some
 * thousands for a conversation of a hundred messages; this much takes about a second, and fits in memory.
 */
const WORK_MAX = 2_000_000;
/** Beside that, for each value that the template is given a list of, such as messages. */
const WORK_PER_ITEM = 2_000;
/** Reading a text costs less than making it. */
const READ_COST = 1 / 64;

/** Of the rendering under way; one renders at a time, for nothing in it waits. */
let left = 0;

/** Renders with a fresh {@link WORK_MAX}, and more for `items` that are given. Throws JinjaError where that is not enough. */
export function withinWork<T>(items: number, render: () => T): T {
  left = WORK_MAX + WORK_PER_ITEM * items;
  return render();
}

/** To be called before what costs so much. */
export function spend(work: number): void {
  left -= work;
  if (!(left >= 0)) throw new JinjaError('does more than any conversation needs, or has no end');
}

export function spendOnMaking(value: Value): void {
  spend(sizeOf(value));
}

export function spendOnReading(value: Value): void {
  spend(sizeOf(value) * READ_COST);
}

function sizeOf(value: Value): number {
  if (typeof value === 'string' || isList(value)) return value.length;
  if (value instanceof Tuple) return value.items.length;
  return value instanceof Dict ? value.size : 1;
}
