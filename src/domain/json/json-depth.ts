/** Whether a value of JSON has objects and arrays in one another beyond so many levels. Itself it goes no deeper than that. */
export function isDeeperThan(value: unknown, levels: number): boolean {
  if (value === null || typeof value !== 'object') return false;
  if (levels === 0) return true;
  // Of a list, whose elements may be millions, no copy is made.
  const inside: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  return inside.some((inner) => isDeeperThan(inner, levels - 1));
}
