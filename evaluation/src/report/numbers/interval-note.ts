import { coverageAtMost } from './statistics.ts';

/** From so many sessions on, an interval can be what its name says. */
const SESSIONS_FOR_95 = 6;

/** How many sessions the numbers of a figure come from, at the least and at the most. */
export interface SessionCount {
  readonly least: number;
  readonly most: number;
}

export function sessionCount(counts: readonly number[]): SessionCount {
  return counts.length === 0 ? { least: 0, most: 0 } : { least: Math.min(...counts), most: Math.max(...counts) };
}

/** What marks and bars are, and how far they can be trusted. */
export function intervalNote({ least, most }: SessionCount, unit: 'session' | 'repeat' = 'session'): string {
  if (most < 2) return `One ${unit} each: no intervals, and nothing to tell a difference from chance.`;
  const count = least === most ? `${least}` : `${least} to ${most}`;
  const single = least < 2 ? ' Where there is one, there is no interval.' : '';
  const fewest = Math.max(2, least);
  const trust =
    fewest < SESSIONS_FOR_95
      ? ` So few cannot promise more than ${Math.floor(coverageAtMost(fewest) * 100)} %: ${SESSIONS_FOR_95} or more would be needed for 95 %.`
      : '';
  return `Medians and 95 % bootstrap intervals over ${unit}s, ${count} a variant.${single}${trust}`;
}
