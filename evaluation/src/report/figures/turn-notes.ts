import { variantInSentence } from '../drawing/looks.ts';
import type { Comparison } from '../numbers/comparison.ts';
import { oneDecimal } from '../numbers/number-text.ts';

/** A first turn this much above all others would press their differences flat. */
const FAR_OFF = 3;

/** A turn that reads a document stands for nothing but itself: it is told, and not drawn. */
export function withoutFirstIfFarOff(comparisons: readonly Comparison[]): {
  readonly comparisons: readonly Comparison[];
  readonly notes: readonly string[];
} {
  const points = comparisons.flatMap(({ series }) => series.flatMap((one) => one.points));
  const first = Math.min(...points.map(({ turn }) => turn));
  const of = (isFirst: boolean) =>
    points.filter(({ turn }) => (turn === first) === isFirst).map(({ estimate }) => estimate.value);
  const [firsts, others] = [of(true), of(false)];
  const [metric] = comparisons.map((comparison) => comparison.metric);
  if (metric === undefined || others.length === 0 || Math.min(...firsts) < FAR_OFF * Math.max(...others)) {
    return { comparisons, notes: [] };
  }
  const [least, most] = [Math.min(...firsts), Math.max(...firsts)].map(metric.text);
  const range = least === most ? least : `${least} to ${most}`;
  return {
    comparisons: comparisons.map((comparison) => ({
      ...comparison,
      series: comparison.series.map((one) => ({ ...one, points: one.points.filter(({ turn }) => turn !== first) })),
    })),
    notes: [`Turn ${first}, with ${range} ${metric.unit}, is left out of the picture but not of the numbers.`],
  };
}

/** How the last turns compare with the first, for each variant of each panel. */
export function growthText(comparisons: readonly Comparison[]): string {
  const some = 5;
  const mean = (points: readonly { readonly estimate: { readonly value: number } }[]) =>
    points.reduce((sum, { estimate }) => sum + estimate.value, 0) / points.length;
  const each = comparisons.map(({ panel, series }) => {
    const ratios = series.map(({ arm, points }) => {
      const ratio = mean(points.slice(-some)) / mean(points.slice(0, some));
      return `${variantInSentence(arm.variant)} ×\u00a0${oneDecimal(ratio)}`;
    });
    return `${comparisons.length > 1 ? `${panel.label}, ` : ''}${ratios.join(', ')}`;
  });
  return `The last ${some} turns against the first ${some}: ${each.join('; ')}.`;
}
