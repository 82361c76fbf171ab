import { coverageAtMost } from './statistics.ts';

/** From so many sessions on, an interval can be what its name says. */
const SESSIONS_FOR_95 = 6;

/** What marks and bars are, and how far they can be trusted. */
export function intervalNote(sessions: number, unit: 'session' | 'repeat' = 'session'): string {
  if (sessions < 2) return `One ${unit} each: no intervals, and nothing to tell a difference from chance.`;
  const few = sessions < SESSIONS_FOR_95;
  const trust = few
    ? ` So few cannot promise more than ${Math.floor(coverageAtMost(sessions) * 100)} %: ${SESSIONS_FOR_95} or more would be needed for 95 %.`
    : '';
  return `Medians and 95 % bootstrap intervals over ${unit}s, at least ${sessions} a variant.${trust}`;
}
