import { variantName } from '../drawing/looks.ts';
import { panelDatum } from '../figures/figure-tables.ts';
import type { Datum } from '../figures/table.ts';
import { llmServiceLabel } from '../labels.ts';
import { bestOf, LOAD_MEASURES, type LoadMeasure, loadSeriesOf } from '../numbers/load-levels.ts';
import { METRICS } from '../numbers/metrics.ts';
import { type Estimate, estimateChange, estimateMedian, type Sessions } from '../numbers/statistics.ts';
import { type Arm, type Panel, panelsOf } from '../source/panels.ts';
import { partsOf } from '../source/planned-part.ts';
import type { ReportSource } from '../source/report-source.ts';

/** One thing that both runs measured. */
export interface Change {
  readonly metric: { readonly id: string; readonly label: string; readonly text: (value: number) => string };
  /** Variant and panel. */
  readonly name: string;
  readonly before: Estimate;
  readonly after: Estimate;
  readonly change: Estimate;
  readonly datum: Datum;
}

const COMPARED = [
  METRICS.response_ms,
  METRICS.first_token_ms,
  METRICS.tokens_per_second,
  METRICS.request_bytes,
  METRICS.sync_bytes,
  METRICS.sync_payload_bytes,
  METRICS.arrive_ms,
] as const;

/** What was measured in the same way in both runs. */
export interface Pair {
  readonly before: Panel;
  readonly after: Panel;
}

export function pairsOf(before: ReportSource, after: ReportSource): Pair[] {
  const [from, to] = [panelsOf([before]), panelsOf([after])];
  const isLoad = new Set(partsOf([before], from).flatMap(({ kind, part }) => (kind === 'load' ? [part] : [])));
  const parts = [...new Set(from.map(({ part }) => part))];
  const byPart = parts.flatMap((part) => from.filter((panel) => panel.part === part));
  return byPart.flatMap((panel) => {
    const same = to.find(
      ({ part, llmService, setting }) =>
        part === panel.part && llmService === panel.llmService && setting === panel.setting,
    );
    return same === undefined || isLoad.has(panel.part) ? [] : [{ before: panel, after: same }];
  });
}

/** What no setting concerns stands in several panels, and counts once. */
export function changesOfAll(pairs: readonly Pair[]): Change[] {
  const seen = new Set<Arm['turns']>();
  return pairs.flatMap((pair) => changesOf(pair, seen));
}

/** What both runs measured in one panel. `seen`: what has been counted already. */
export function changesOf({ before, after }: Pair, seen = new Set<Arm['turns']>()): Change[] {
  return before.arms.flatMap((arm) => {
    const other = after.arms.find(({ variant }) => variant === arm.variant);
    if (other === undefined || seen.has(arm.turns)) return [];
    seen.add(arm.turns);
    const changes = COMPARED.flatMap((metric) =>
      changeOf([metric.sessions(arm), metric.sessions(other)], after.seed, {
        metric,
        name: nameOf(arm.variant, before),
        datum: { ...panelDatum(before), variant: arm.variant, metric: metric.id },
      }),
    );
    // What is inside the encryption says little where all of it was counted.
    const isWire = changes.some(({ metric }) => metric === METRICS.sync_bytes);
    return changes.filter(({ metric }) => !(isWire && metric === METRICS.sync_payload_bytes));
  });
}

function changeOf(
  [before, after]: readonly [Sessions, Sessions],
  seed: number,
  what: Pick<Change, 'metric' | 'name' | 'datum'>,
): Change[] {
  const [from, to] = [estimateMedian(before, seed), estimateMedian(after, seed)];
  const change = estimateChange(before, after, seed);
  if (from === undefined || to === undefined || change === undefined) return [];
  return [{ ...what, before: from, after: to, change }];
}

const THROUGHPUT = { id: 'turns_per_s', label: 'Turns per second, at best', text: (value: number) => value.toFixed(2) };

const LATENCIES = (['response_p50', 'response_p95'] as const satisfies readonly LoadMeasure[]).map((id) => {
  const { label, divisor } = LOAD_MEASURES[id];
  return { id, label, text: (value: number) => (value / divisor).toFixed(2) };
});

/** Throughput at best, and how long turns took at each number of users. */
export function loadChanges(before: ReportSource, after: ReportSource): Change[] {
  const [from, to] = [panelsOf([before]), panelsOf([after])];
  const parts = [...new Set(from.map(({ part }) => part))];
  return parts.flatMap((part) => {
    const of = (panels: readonly Panel[]) => loadSeriesOf(panels.filter((panel) => panel.part === part));
    const others = of(to);
    return of(from).flatMap((series) => {
      const same = others.find(
        ({ variant, llmService }) => variant === series.variant && llmService === series.llmService,
      );
      if (same === undefined) return [];
      const name = `${variantName(series.variant)}: ${llmServiceLabel(series.llmService)}`;
      const datum = { part, llm: series.llmService, variant: series.variant };
      const best = { metric: THROUGHPUT, name, datum: { ...datum, metric: THROUGHPUT.id } };
      const levels = series.levels.flatMap((level) => {
        const other = same.levels.find(({ users }) => users === level.users);
        if (other === undefined) return [];
        const at = `${name}, ${level.users} ${level.users === 1 ? 'user' : 'users'}`;
        return LATENCIES.flatMap((metric) =>
          changeOf([level.repeats[metric.id], other.repeats[metric.id]], after.seed, {
            metric,
            name: at,
            datum: { ...datum, users: level.users, metric: metric.id },
          }),
        );
      });
      return [...changeOf([bestOf(series), bestOf(same)], after.seed, best), ...levels];
    });
  });
}

/** Variant and panel. */
export function nameOf(variant: string, { part, label }: Panel): string {
  return `${variantName(variant)}: ${part.replaceAll('-', ' ')}, ${label}`;
}
