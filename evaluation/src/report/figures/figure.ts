import type { Canvas, Drawing, LegendEntry } from '../drawing/canvas.ts';
import { composeFigure } from '../drawing/compose-figure.ts';
import { drawLoad, LOAD_COLUMNS } from '../drawing/draw-load.ts';
import { type ChartRow, drawRows } from '../drawing/draw-rows.ts';
import { drawTurns } from '../drawing/draw-turns.ts';
import { lookAt, variantInSentence, variantName } from '../drawing/looks.ts';
import { scaleFor } from '../drawing/metric-scale.ts';
import { llmServiceLabel } from '../labels.ts';
import { type Comparison, looksOf, sessionsOf } from '../numbers/comparison.ts';
import { findingOf, mainVerdicts, resultOf, type Standing, soleBaseline, standingOf } from '../numbers/finding.ts';
import { intervalNote, type SessionCount } from '../numbers/interval-note.ts';
import { LOAD_MEASURES, type LoadMeasure, type LoadSeries } from '../numbers/load-levels.ts';
import { changeWithInterval } from '../numbers/number-text.ts';
import type { Table } from './table.ts';

/** A picture with what it shows, in words and in numbers. */
export interface Figure {
  /** Names its files. */
  readonly id: string;
  /** What stands before its title on the page: "Figure 3 of the paper". */
  readonly name: string;
  /** Computed from the numbers, never written beforehand. */
  readonly finding: string;
  readonly standing: Standing;
  /** What a reader looks for first, where it is about that. */
  readonly topic: Topic | undefined;
  readonly svg: string;
  readonly table: Table;
}

export type Topic = 'request' | 'between-nodes' | 'move' | 'warm-move';

/** In a sentence, and whether there is anything to it. */
export interface Finding {
  readonly finding: string;
  readonly standing: Standing;
}

export interface FigureNames {
  readonly id: string;
  readonly name: string;
  /** What was done, for the line under the title. */
  readonly about: string;
  /** Of runs that prove less than they seem to; may be empty. */
  readonly caution: string;
  readonly topic?: Topic;
}

/** A metric over the turns of a session. `afterMoves`: the same of turns after a move alone, where a figure is about those. */
export function turnsFigure(
  canvas: Canvas,
  names: FigureNames,
  comparisons: readonly Comparison[],
  { table, afterMoves, ...found }: Finding & { readonly table: Table; readonly afterMoves?: readonly Comparison[] },
): Figure {
  const { drawings, columns, named } = drawTurns(canvas, comparisons);
  const panels = comparisons.map((comparison, index) => {
    const afterMove = afterMoves?.find(({ panel }) => panel === comparison.panel);
    return {
      heading: comparison.panel.label,
      result: afterMove === undefined ? resultOf(comparison) : `After a move ${resultOf(afterMove)}`,
      drawing: drawings[index] as Drawing,
    };
  });
  const legend = named ? undefined : canvas.legend(legendOf(comparisons));
  return finish(names, { ...found, legend, panels, columns, sessions: sessionsOf(comparisons), table });
}

/** A metric as one number a variant, a row a panel. */
export function rowsFigure(
  canvas: Canvas,
  names: FigureNames,
  comparisons: readonly Comparison[],
  table: Table,
): Figure {
  const [first] = comparisons as [Comparison];
  const looks = looksOf(comparisons);
  const sole = soleBaseline(comparisons);
  const rows: ChartRow[] = comparisons.map((comparison) => ({
    name: comparison.panel.label,
    marks: comparison.series.flatMap(({ arm, overall }) => {
      const look = looks.get(arm.variant);
      return overall === undefined || look === undefined ? [] : [{ look, estimate: overall }];
    }),
    result: sole === undefined ? resultOf(comparison) : soleResult(comparison),
  }));
  const subject = first.series[0]?.arm.variant ?? '';
  const resultHeading = sole === undefined ? '' : `${variantName(subject)} against ${variantInSentence(sole)}`;
  const largest = Math.max(...rows.flatMap(({ marks }) => marks.map(({ estimate }) => estimate.high)), 0);
  const drawing = drawRows(canvas, { rows, ...scaleFor(first.metric, largest), isChange: false, resultHeading });
  return finish(names, {
    finding: findingOf(comparisons),
    standing: standingOf(mainVerdicts(comparisons)),
    legend: canvas.legend(legendOf(comparisons)),
    panels: [{ heading: '', result: '', drawing }],
    columns: 1,
    sessions: sessionsOf(comparisons),
    table,
  });
}

/** Turns a second and response times over users. */
export function loadFigure(
  canvas: Canvas,
  names: FigureNames,
  { series, sessions, ...found }: Finding & { readonly series: readonly LoadSeries[]; readonly sessions: SessionCount },
  table: Table,
): Figure {
  const legend = canvas.legend(series.map((one, place) => ({ label: loadName(one, series), look: lookAt(place) })));
  const panels = (Object.keys(LOAD_MEASURES) as LoadMeasure[]).map((measure) => ({
    heading: LOAD_MEASURES[measure].label,
    result: '',
    drawing: drawLoad(canvas, series, measure),
  }));
  return finish(names, { ...found, legend, panels, columns: LOAD_COLUMNS, sessions, unit: 'repeat', table });
}

/** The LLM Service is named where there are several. */
export function loadName({ variant, llmService, origin }: LoadSeries, all: readonly LoadSeries[]): string {
  const differ = (of: (one: LoadSeries) => string) =>
    new Set(all.filter((one) => one.variant === variant).map(of)).size > 1;
  return [
    variantName(variant),
    ...(differ((one) => one.llmService) ? [llmServiceLabel(llmService)] : []),
    ...(differ((one) => one.origin) ? [origin] : []),
  ].join(', ');
}

/** A row a thing that changed, with what it changed by. */
export function changesFigure(
  canvas: Canvas,
  names: FigureNames,
  { rows, sessions, ...found }: Finding & { readonly rows: readonly ChartRow[]; readonly sessions: SessionCount },
  table: Table,
): Figure {
  const drawing = drawRows(canvas, { rows, label: 'Change (%)', divisor: 0.01, isChange: true, resultHeading: '' });
  const panels = [{ heading: '', result: '', drawing }];
  return finish(names, { ...found, legend: undefined, panels, columns: 1, sessions, table });
}

function finish(
  { id, name, about, caution, topic }: FigureNames,
  {
    finding,
    standing,
    legend,
    panels,
    columns,
    sessions,
    unit = 'session',
    table,
  }: Finding & {
    readonly legend: Drawing | undefined;
    readonly panels: Parameters<typeof composeFigure>[0]['panels'];
    readonly columns: number;
    readonly sessions: SessionCount;
    readonly unit?: 'session' | 'repeat';
    readonly table: Table;
  },
): Figure {
  const results = panels.flatMap(({ heading, result }) => (result === '' ? [] : [`${heading}: ${result}`]));
  const alt = [`${finding}.`, about, ...results, caution].join(' ').trim();
  const svg = composeFigure({
    title: finding,
    subtitle: about,
    legend,
    panels,
    columns,
    footnote: [intervalNote(sessions, unit), caution].join(' ').trim(),
    alt,
  });
  return { id, name, finding, standing, topic, svg, table };
}

function soleResult({ series }: Comparison): string {
  return series.flatMap(({ change }) => (change === undefined ? [] : changeWithInterval(change))).join('; ');
}

function legendOf(comparisons: readonly Comparison[]): LegendEntry[] {
  return [...looksOf(comparisons)].map(([variant, look]) => ({ label: variantName(variant), look }));
}

/** Safe as a file's name, an id and a class. */
export function idOf(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
}
