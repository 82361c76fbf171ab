import type { Canvas } from '../drawing/canvas.ts';
import type { ChartRow } from '../drawing/draw-rows.ts';
import { COLOURS } from '../drawing/looks.ts';
import { changesFigure, type Figure, type Finding, idOf, turnsFigure } from '../figures/figure.ts';
import { changeCell, turnsTable, valueCell } from '../figures/figure-tables.ts';
import { titleOf } from '../figures/plan-figures.ts';
import { columnHeading, rowHeading, type Table } from '../figures/table.ts';
import type { Comparison } from '../numbers/comparison.ts';
import { standingOf } from '../numbers/finding.ts';
import { sessionCount } from '../numbers/interval-note.ts';
import { METRICS } from '../numbers/metrics.ts';
import { changeText, changeWithInterval } from '../numbers/number-text.ts';
import { estimateChange, estimateMedian, verdictOf } from '../numbers/statistics.ts';
import { turnNumbers } from '../source/panels.ts';
import { cautionOf } from '../source/planned-part.ts';
import type { ReportSource } from '../source/report-source.ts';
import { type Change, changesOf, changesOfAll, loadChanges, nameOf, type Pair, pairsOf } from './run-changes.ts';

/** Shown turn by turn as well, both runs on one axis. */
const SHOWN_BY_TURN = [METRICS.response_ms, METRICS.sync_bytes] as const;
const CHANGE_LOOK = { colour: COLOURS.blue, symbol: 'circle', filled: true, dash: undefined } as const;

/** What changed from one run to the other, in everything that both measured in the same way. */
export function compareRuns(
  canvas: Canvas,
  before: ReportSource,
  after: ReportSource,
): { readonly figures: readonly Figure[]; readonly table: Table } {
  const pairs = pairsOf(before, after);
  const caution = cautionOf([before, after]);
  const changes = [...changesOfAll(pairs), ...loadChanges(before, after)];
  const ids = [...new Set(changes.map(({ metric }) => metric.id))];
  const summaries = ids.map((id) =>
    summaryFigure(
      canvas,
      changes.filter(({ metric }) => metric.id === id),
      caution,
    ),
  );
  return {
    figures: [...summaries, ...byTurn(canvas, pairs, caution)],
    table: changedTable(changes),
  };
}

/** The names of facts, known of both, in which two runs differ beside their name and time: of more than one no cause is sure. */
export function differencesOf(before: ReportSource, after: ReportSource): string[] {
  const others = new Map(after.facts);
  const own = ['run', 'when', 'plays'];
  return before.facts.flatMap(([name, value]) => {
    const other = others.get(name);
    return own.includes(name) || other === undefined || other === value ? [] : [name];
  });
}

function summaryFigure(canvas: Canvas, changes: readonly Change[], caution: string): Figure {
  const [first] = changes as [Change];
  const { id, label } = first.metric;
  const rows: ChartRow[] = changes.map(({ name, change }) => ({
    name,
    marks: [{ look: CHANGE_LOOK, estimate: change }],
    result: changeWithInterval(change),
  }));
  const names = { id: `change-${idOf(id)}`, name: label, about: 'Change from the first run to the second.', caution };
  const sessions = sessionCount(changes.map(({ change }) => change.sessions));
  return changesFigure(canvas, names, { rows, ...findingOf(label, changes), sessions }, changesTable(changes));
}

/** "Response time: lower in 2 of 6 cases (−3.1 % to −2.0 %), no difference in 4". */
function findingOf(label: string, changes: readonly Change[]): Finding {
  const words = {
    less: 'lower',
    more: 'higher',
    'no-difference': 'no difference',
    'one-session': 'one session, not tested',
  };
  const kinds = (Object.keys(words) as Array<keyof typeof words>).flatMap((verdict) => {
    const some = changes.filter(({ change }) => verdictOf(change) === verdict).map(({ change }) => change.value);
    if (some.length === 0) return [];
    const range = [...new Set([Math.min(...some), Math.max(...some)].map((share) => changeText(share)))].join(' to ');
    const where =
      some.length === changes.length
        ? some.length === 1
          ? ''
          : ' everywhere'
        : ` in ${some.length} of ${changes.length} cases`;
    return [`${words[verdict]}${where}${verdict === 'no-difference' ? '' : ` (${range})`}`];
  });
  return {
    finding: `${label.replace(/ \((ms|bytes)\)$/, '')}: ${kinds.join(', ')}`,
    standing: standingOf(changes.map(({ change }) => verdictOf(change))),
  };
}

function byTurn(canvas: Canvas, pairs: readonly Pair[], caution: string): Figure[] {
  const parts = [...new Set(pairs.map(({ before }) => before.part))];
  return parts.flatMap((part) =>
    SHOWN_BY_TURN.flatMap((metric) => {
      const comparisons = pairs.filter(({ before }) => before.part === part).flatMap((pair) => overlay(pair, metric));
      if (comparisons.length === 0) return [];
      const names = {
        id: `turns-${idOf(part)}-${idOf(metric.id)}`,
        name: titleOf(part, metric),
        about: `${metric.label} of each turn, in both runs.`,
        caution,
      };
      const found = findingOf(
        metric.label,
        pairs
          .filter(({ before }) => before.part === part)
          .flatMap((pair) => changesOf(pair))
          .filter((one) => one.metric.id === metric.id),
      );
      return [turnsFigure(canvas, names, comparisons, { table: turnsTable(comparisons), ...found })];
    }),
  );
}

/** The later run stands where a figure's subject does, the earlier one is what it is shown against. */
function overlay({ before, after }: Pair, metric: (typeof SHOWN_BY_TURN)[number]): Comparison[] {
  return before.arms.flatMap((arm) => {
    const other = after.arms.find(({ variant }) => variant === arm.variant);
    if (other === undefined) return [];
    const change = estimateChange(metric.sessions(arm), metric.sessions(other), after.seed);
    const overall = estimateMedian(metric.sessions(other), after.seed);
    if (change === undefined || overall === undefined) return [];
    const named = (variant: string, own: typeof arm) => ({
      arm: { ...own, variant },
      overall: estimateMedian(metric.sessions(own), after.seed),
      points: turnNumbers([own]).flatMap((turn) => {
        const estimate = estimateMedian(metric.sessions(own, turn), after.seed);
        return estimate === undefined ? [] : [{ turn, estimate }];
      }),
    });
    const panel = { ...before, label: nameOf(arm.variant, before) };
    return [
      {
        panel,
        metric,
        series: [
          { ...named('after', other), change: undefined },
          { ...named('before', arm), change },
        ],
      },
    ];
  });
}

/** What is beyond chance, of all of it; the figures have the rest. */
function changedTable(changes: readonly Change[]): Table {
  const changed = changes.filter(({ change }) => ['less', 'more'].includes(verdictOf(change)));
  const table = changesTable(changed);
  const caption = `${changed.length} of ${changes.length} comparisons show a change. ${table.caption}`;
  const nothing = [[rowHeading('Nothing'), ...Array.from({ length: 5 }, () => ({ text: '' }))]];
  return { ...table, caption, body: changed.length === 0 ? nothing : table.body };
}

function changesTable(changes: readonly Change[]): Table {
  return {
    caption: 'Medians (95 % intervals) of both runs, and the change from the first to the second',
    head: [['', 'What', 'Before', 'After', 'Change', 'Shown'].map((text) => columnHeading(text))],
    body: changes.map(({ metric, name, before, after, change, datum }) => [
      rowHeading(name),
      { text: metric.label },
      valueCell(before, metric.text, { ...datum, side: 'before' }),
      valueCell(after, metric.text, { ...datum, side: 'after' }),
      changeCell(change, { ...datum, side: 'change' }),
      {
        text: { less: 'lower', more: 'higher', 'no-difference': 'no difference', 'one-session': 'not tested' }[
          verdictOf(change)
        ],
      },
    ]),
  };
}
