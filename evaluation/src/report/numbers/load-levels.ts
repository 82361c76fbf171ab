import type { LoadRow } from '../../experiments/rows/experiment-rows.ts';
import type { Panel } from '../source/panels.ts';
import { type Estimate, estimateChange, estimateMedian, type Sessions } from './statistics.ts';

/** What is shown of a level of parallel users. */
export const LOAD_MEASURES = {
  turns_per_s: { label: 'Turns per second', divisor: 1, of: (row: LoadRow) => row.turns_per_s },
  response_p50: { label: 'Response time, median (s)', divisor: 1_000, of: (row: LoadRow) => row.response_ms.p50 },
  response_p95: {
    label: 'Response time, 95th percentile (s)',
    divisor: 1_000,
    of: (row: LoadRow) => row.response_ms.p95,
  },
} as const;
export type LoadMeasure = keyof typeof LOAD_MEASURES;

export interface LoadLevel {
  readonly users: number;
  readonly failed: number;
  readonly estimates: Readonly<Record<LoadMeasure, Estimate | undefined>>;
  /** What each repeat measured. */
  readonly repeats: Readonly<Record<LoadMeasure, Sessions>>;
}

/** One variant at one LLM Service, by users. */
export interface LoadSeries {
  readonly variant: string;
  readonly llmService: string;
  readonly origin: string;
  readonly levels: readonly LoadLevel[];
}

/** A part's panels differ in the number of users; here they become the levels of one series each. */
export function loadSeriesOf(panels: readonly Panel[]): LoadSeries[] {
  const groups = new Map<string, { variant: string; panel: Panel; rows: LoadRow[] }>();
  for (const panel of panels) {
    for (const { variant, loads } of panel.arms) {
      if (loads.length === 0) continue;
      const key = [panel.origin, panel.llmService, variant].join('\n');
      const group = groups.get(key) ?? { variant, panel, rows: [] };
      groups.set(key, group);
      group.rows.push(...loads);
    }
  }
  return [...groups.values()].map(({ variant, panel, rows }) => {
    const users = [...new Set(rows.map((row) => row.users))].sort((a, b) => a - b);
    const levels = users.map((count) => {
      const at = rows.filter((row) => row.users === count);
      return levelOf(count, at, panel.seed);
    });
    return { variant, llmService: panel.llmService, origin: panel.origin, levels };
  });
}

/** The level with the most turns a second. */
export function peakOf({ levels }: LoadSeries): LoadLevel | undefined {
  const best = Math.max(...levels.map(({ estimates }) => estimates.turns_per_s?.value ?? 0));
  return levels.find(({ estimates }) => estimates.turns_per_s?.value === best);
}

/** Turns a second of each repeat at that level. */
export function bestOf(series: LoadSeries): Sessions {
  return peakOf(series)?.repeats.turns_per_s ?? [];
}

/** Turns a second of one series at its best against another at its best. */
export function peakChange(baseline: LoadSeries, subject: LoadSeries, seed: number): Estimate | undefined {
  return estimateChange(bestOf(baseline), bestOf(subject), seed);
}

function levelOf(users: number, rows: readonly LoadRow[], seed: number): LoadLevel {
  const repeatsOf = (measure: LoadMeasure) =>
    rows.map((row) => {
      const value = LOAD_MEASURES[measure].of(row);
      return value === null ? [] : [value];
    });
  const each = <T>(of: (measure: LoadMeasure) => T) => ({
    turns_per_s: of('turns_per_s'),
    response_p50: of('response_p50'),
    response_p95: of('response_p95'),
  });
  return {
    users,
    failed: rows.reduce((sum, { turns_failed }) => sum + turns_failed, 0),
    repeats: each(repeatsOf),
    estimates: each((measure) => estimateMedian(repeatsOf(measure), seed)),
  };
}
