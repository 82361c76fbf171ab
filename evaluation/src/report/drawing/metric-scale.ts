import type { Metric } from '../numbers/metrics.ts';

/** How a metric's numbers are written on an axis. */
export interface MetricScale {
  readonly label: string;
  /** What a value is divided by. */
  readonly divisor: number;
}

/** Above it milliseconds are read as seconds, bytes as kilobytes. */
const LARGE = 5_000;

export function scaleFor({ label, unit }: Metric, largest: number): MetricScale {
  if (largest < LARGE) return { label, divisor: 1 };
  if (unit === 'ms') return { label: label.replace('(ms)', '(s)'), divisor: 1_000 };
  if (unit === 'bytes') return { label: label.replace('bytes)', 'kB)'), divisor: 1_000 };
  return { label, divisor: 1 };
}
