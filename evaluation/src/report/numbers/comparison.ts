import { type Look, lookAt } from '../drawing/looks.ts';
import { type Arm, baselinesOf, type Panel, subjectOf, turnNumbers } from '../source/panels.ts';
import { type SessionCount, sessionCount } from './interval-note.ts';
import type { Metric } from './metrics.ts';
import { type Estimate, estimateChange, estimateMedian } from './statistics.ts';

/** One variant's numbers in a panel. */
export interface Series {
  readonly arm: Arm;
  /** Over all turns of its sessions; for bytes between nodes, of a session as a whole. */
  readonly overall: Estimate | undefined;
  readonly points: readonly { readonly turn: number; readonly estimate: Estimate }[];
  /** Of this series against the panel's subject: `undefined` for the subject itself. */
  readonly change: Estimate | undefined;
}

/** One metric in one panel. The subject comes first; a change is the subject's against that series. */
export interface Comparison {
  readonly panel: Panel;
  readonly metric: Metric;
  readonly series: readonly Series[];
}

/** `undefined` where no arm has any value. */
export function compare(panel: Panel, metric: Metric): Comparison | undefined {
  const subject = subjectOf(panel.arms);
  if (subject === undefined) return undefined;
  const arms = [subject, ...baselinesOf(panel.arms)];
  const turns = turnNumbers(arms);
  const series = arms.map((arm) => ({
    arm,
    overall: estimateMedian(metric.sessions(arm), panel.seed),
    points: turns.flatMap((turn) => {
      const estimate = estimateMedian(metric.sessions(arm, turn), panel.seed);
      return estimate === undefined ? [] : [{ turn, estimate }];
    }),
    change: arm === subject ? undefined : estimateChange(metric.sessions(arm), metric.sessions(subject), panel.seed),
  }));
  const measured = series.filter(({ overall }) => overall !== undefined);
  return measured.length === 0 ? undefined : { panel, metric, series: measured };
}

/** Of the subject against the baseline that is asked for, or else its first one. */
export function mainChange(
  { series }: Comparison,
  preferred?: string,
): { readonly baseline: Arm; readonly change: Estimate } | undefined {
  const compared = series.flatMap(({ arm, change }) => (change === undefined ? [] : [{ baseline: arm, change }]));
  return compared.find(({ baseline }) => baseline.variant === preferred) ?? compared[0];
}

/** How many sessions the numbers come from. */
export function sessionsOf(comparisons: readonly Comparison[]): SessionCount {
  return sessionCount(comparisons.flatMap(({ series }) => series.flatMap(({ overall }) => overall?.sessions ?? [])));
}

/** Each variant of a figure with how it is drawn in all its panels. */
export function looksOf(comparisons: readonly Comparison[]): ReadonlyMap<string, Look> {
  const variants = new Set(comparisons.flatMap(({ series }) => series.map(({ arm }) => arm.variant)));
  return new Map([...variants].map((variant, place) => [variant, lookAt(place)]));
}
