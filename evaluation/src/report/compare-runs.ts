import type { Canvas } from './canvas.ts';
import type { Comparison } from './comparison.ts';
import type { ChartRow } from './draw-rows.ts';
import { changesFigure, type Figure, type Finding, idOf, turnsFigure } from './figure.ts';
import { changeCell, panelDatum, turnsTable, valueCell } from './figure-tables.ts';
import { standingOf } from './finding.ts';
import { sessionCount } from './interval-note.ts';
import { llmServiceLabel } from './labels.ts';
import { bestOf, LOAD_MEASURES, type LoadMeasure, loadSeriesOf } from './load-levels.ts';
import { COLOURS, variantName } from './looks.ts';
import { METRICS } from './metrics.ts';
import { changeText, changeWithInterval } from './number-text.ts';
import { type Arm, type Panel, panelsOf, turnNumbers } from './panels.ts';
import { titleOf } from './plan-figures.ts';
import { cautionOf, partsOf } from './planned-part.ts';
import type { ReportSource } from './report-source.ts';
import { type Estimate, estimateChange, estimateMedian, type Sessions, verdictOf } from './statistics.ts';
import { columnHeading, type Datum, rowHeading, type Table } from './table.ts';

/** One thing that both runs measured. */
interface Change {
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

interface Pair {
  readonly before: Panel;
  readonly after: Panel;
}

function pairsOf(before: ReportSource, after: ReportSource): Pair[] {
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
function changesOfAll(pairs: readonly Pair[]): Change[] {
  const seen = new Set<Arm['turns']>();
  return pairs.flatMap((pair) => changesOf(pair, seen));
}

function changesOf({ before, after }: Pair, seen = new Set<Arm['turns']>()): Change[] {
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

function loadChanges(before: ReportSource, after: ReportSource): Change[] {
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

function nameOf(variant: string, { part, label }: Panel): string {
  return `${variantName(variant)}: ${part.replaceAll('-', ' ')}, ${label}`;
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
