/** The p-quantile (0 … 1) of samples, by the nearest rank. NaN without samples. */
export function quantile(samples: readonly number[], p: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(p * sorted.length) - 1))] ?? Number.NaN;
}

/** Rounded to `digits` behind the point, for rows that people read. */
export function rounded(value: number, digits = 3): number {
  return Number(value.toFixed(digits));
}
