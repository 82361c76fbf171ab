import { createHash } from 'node:crypto';

/** The items in an order that the seed decides, everywhere the same: what drifts on a machine favours none of them. */
export function seededOrder<T>(items: readonly T[], seed: string): T[] {
  return items
    .map((item, index) => ({ item, lot: createHash('sha256').update(`${seed}/${index}`).digest('hex') }))
    .sort((a, b) => (a.lot < b.lot ? -1 : 1))
    .map(({ item }) => item);
}
