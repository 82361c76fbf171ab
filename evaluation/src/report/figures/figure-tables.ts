import { variantInSentence, variantName } from '../drawing/looks.ts';
import type { Comparison } from '../numbers/comparison.ts';
import { LOAD_MEASURES, type LoadMeasure, type LoadSeries } from '../numbers/load-levels.ts';
import { changeWithInterval, valueWithInterval, wholeNumber } from '../numbers/number-text.ts';
import type { Estimate } from '../numbers/statistics.ts';
import type { Panel } from '../source/panels.ts';
import { loadName } from './figure.ts';
import { type Cell, columnHeading, type Datum, rowHeading, type Table } from './table.ts';

/** A number of a figure, and where in the rows it comes from. */
export function valueCell(estimate: Estimate | undefined, text: (value: number) => string, datum: Datum): Cell {
  if (estimate === undefined) return { text: '–' };
  const { value, low, high, sessions } = estimate;
  return { text: valueWithInterval(estimate, text), datum: { ...datum, value, low, high, sessions } };
}

export function changeCell(estimate: Estimate | undefined, datum: Datum): Cell {
  if (estimate === undefined) return { text: '–' };
  const { value, low, high, sessions } = estimate;
  return { text: changeWithInterval(estimate), datum: { ...datum, value, low, high, sessions } };
}

/** What names a panel in the data of a cell. */
export function panelDatum({ part, origin, llmService, setting }: Panel): Datum {
  return { part, origin, llm: llmService, setting };
}

/** Turns under each other, panels and their variants side by side; then the whole sessions, and the changes. */
export function turnsTable(comparisons: readonly Comparison[]): Table {
  const [first] = comparisons as [Comparison];
  const { metric } = first;
  const turns = [
    ...new Set(comparisons.flatMap(({ series }) => series.flatMap((one) => one.points.map((p) => p.turn)))),
  ];
  const cells = (of: (comparison: Comparison, series: Comparison['series'][number]) => Cell) =>
    comparisons.flatMap((comparison) => comparison.series.map((series) => of(comparison, series)));
  const perTurn = turns
    .sort((a, b) => a - b)
    .map((turn) => [
      rowHeading(`Turn ${turn}`),
      ...cells(({ panel }, { arm, points }) =>
        valueCell(points.find((point) => point.turn === turn)?.estimate, metric.text, {
          ...panelDatum(panel),
          metric: metric.id,
          variant: arm.variant,
          turn,
        }),
      ),
    ]);
  return {
    caption: `${metric.label}: medians (95 % intervals)`,
    head: [
      [columnHeading(''), ...comparisons.map(({ panel, series }) => columnHeading(panel.label, series.length))],
      [columnHeading(''), ...cells((_, { arm }) => columnHeading(variantName(arm.variant)))],
    ],
    body: [...perTurn, overallRow(comparisons), ...changeRow(comparisons)],
  };
}

/** A row a panel. */
export function overallTable(comparisons: readonly Comparison[]): Table {
  const [first] = comparisons as [Comparison];
  const variants = [...new Set(comparisons.flatMap(({ series }) => series.map(({ arm }) => arm.variant)))];
  const baselines = [
    ...new Set(
      comparisons.flatMap(({ series }) => series.filter(({ change }) => change).map(({ arm }) => arm.variant)),
    ),
  ];
  const of = ({ series }: Comparison, variant: string) => series.find(({ arm }) => arm.variant === variant);
  return {
    caption: `${first.metric.label}: medians (95 % intervals)`,
    head: [
      [
        columnHeading(''),
        ...variants.map((variant) => columnHeading(variantName(variant))),
        ...baselines.map((variant) => columnHeading(`Change against ${variantInSentence(variant)}`)),
      ],
    ],
    body: comparisons.map((comparison) => [
      rowHeading(comparison.panel.label),
      ...variants.map((variant) => overallCell(comparison, of(comparison, variant), variant)),
      ...baselines.map((variant) => comparisonCell(comparison, of(comparison, variant)?.change, variant)),
    ]),
  };
}

/** A row a level of users and series. */
export function loadTable(series: readonly LoadSeries[], part: string): Table {
  const measures = Object.keys(LOAD_MEASURES) as LoadMeasure[];
  return {
    caption: 'Parallel users: medians of repeats (95 % intervals)',
    head: [
      ['', 'Users', ...measures.map((measure) => LOAD_MEASURES[measure].label), 'Turns failed'].map((text) =>
        columnHeading(text),
      ),
    ],
    body: series.flatMap((one) =>
      one.levels.map(({ users, estimates, failed }) => {
        const { variant, llmService: llm, origin } = one;
        const datum = { part, origin, llm, variant, users };
        return [
          rowHeading(loadName(one, series)),
          { text: wholeNumber(users) },
          ...measures.map((measure) => {
            const { divisor } = LOAD_MEASURES[measure];
            const text = (value: number) => (value / divisor).toFixed(2);
            return valueCell(estimates[measure], text, { ...datum, metric: measure });
          }),
          { text: wholeNumber(failed), datum: { ...datum, metric: 'turns_failed', value: failed } },
        ];
      }),
    ),
  };
}

function overallRow(comparisons: readonly Comparison[]): Cell[] {
  const isTotal = comparisons.every(({ metric }) => metric.id.startsWith('sync_'));
  return [
    rowHeading(isTotal ? 'Whole session' : 'All turns'),
    ...comparisons.flatMap((comparison) =>
      comparison.series.map((series) => overallCell(comparison, series, series.arm.variant)),
    ),
  ];
}

function changeRow(comparisons: readonly Comparison[]): Cell[][] {
  if (!comparisons.some(({ series }) => series.some(({ change }) => change))) return [];
  return [
    [
      rowHeading('Change of the first against this one'),
      ...comparisons.flatMap((comparison) =>
        comparison.series.map(({ arm, change }) => comparisonCell(comparison, change, arm.variant)),
      ),
    ],
  ];
}

function overallCell(
  { panel, metric }: Comparison,
  series: Comparison['series'][number] | undefined,
  variant: string,
): Cell {
  return valueCell(series?.overall, metric.text, { ...panelDatum(panel), metric: metric.id, variant });
}

function comparisonCell({ panel, metric, series }: Comparison, change: Estimate | undefined, baseline: string): Cell {
  const variant = series[0]?.arm.variant ?? '';
  return changeCell(change, { ...panelDatum(panel), metric: metric.id, variant, baseline });
}
