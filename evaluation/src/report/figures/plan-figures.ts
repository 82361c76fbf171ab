import type { Canvas } from '../drawing/canvas.ts';
import { denseNote } from '../drawing/draw-turns.ts';
import { type Comparison, compare } from '../numbers/comparison.ts';
import { capital, findingOf, mainVerdicts, standingOf } from '../numbers/finding.ts';
import { METRICS, type Metric } from '../numbers/metrics.ts';
import { moveCost, titleWithMove } from '../numbers/move-cost.ts';
import { type Panel, turnNumbers } from '../source/panels.ts';
import { type PlannedPart, syncMetric } from '../source/planned-part.ts';
import { cacheNote, consistencyNote } from './context-notes.ts';
import { type Figure, idOf, rowsFigure, type Topic, turnsFigure } from './figure.ts';
import { overallTable, turnsTable } from './figure-tables.ts';
import { loadUsersFigure } from './load-users-figure.ts';
import { growthText, withoutFirstIfFarOff } from './turn-notes.ts';

/** Under bytes of raw text where it matters that nobody could read it. */
const WITHOUT_WORDS = 'Replies of random weights: bytes of text are not those of language.';
/** Sessions longer than the paper's show how a number grows. */
const LONG_SESSION_TURNS = 15;

/** Every figure that the rows allow, in the order of the paper's where it has them. */
export function planFigures(canvas: Canvas, parts: readonly PlannedPart[]): Figure[] {
  const figures = parts.flatMap((planned) => {
    switch (planned.kind) {
      case 'load':
        return [loadUsersFigure(canvas, planned)];
      case 'conditions':
        return conditionFigures(canvas, planned);
      case 'roaming':
      case 'turns':
        return turnFigures(canvas, planned);
      default:
        planned.kind satisfies never;
        return [];
    }
  });
  return figures.sort((a, b) => paperPlace(a) - paperPlace(b));
}

/** Figures 3 to 7 come first, as in the paper; the others keep their order. */
function paperPlace({ name }: Figure): number {
  return Number(/^Figure (\d+) of the paper$/.exec(name)?.[1] ?? Number.MAX_SAFE_INTEGER);
}

function turnFigures(canvas: Canvas, { part, about, kind, isPapers, panels, caution }: PlannedPart): Figure[] {
  const sync = syncMetric(panels);
  const arms = panels.flatMap((panel) => panel.arms);
  const variants = new Set(arms.map(({ variant }) => variant));
  // The paper's bytes are those of language; weights drawn by chance do not write any.
  const hasWords = panels.every(({ replySources }) => !replySources.includes('random-weights'));
  const isWarmed = variants.has('warmed');
  // The paper's nodes warm nothing.
  const redrawn = (number: number) =>
    isPapers && variants.size > 1 && !isWarmed ? `Figure ${number} of the paper` : '';
  const wanted: ReadonlyArray<{ metric: Metric; name: string; what: string; rows?: true }> =
    kind === 'roaming'
      ? [
          {
            metric: METRICS.response_ms,
            name: redrawn(6),
            what: 'Response time of each turn; dashed rules: the client has gone to another node.',
          },
          {
            metric: METRICS.first_token_ms,
            name: '',
            what: 'Time to the first token of each turn: what a node has to read again after a move.',
          },
          {
            metric: METRICS.request_bytes,
            name: redrawn(7),
            what: 'Bytes that the client sends for each turn, HTTP heads included.',
          },
          { metric: sync, name: '', what: 'Bytes between the nodes for each turn, both ways.' },
        ]
      : [
          { metric: METRICS.response_ms, name: redrawn(3), what: 'Response time of each turn.' },
          { metric: METRICS.first_token_ms, name: '', what: 'Time to the first token of each turn.' },
          {
            metric: METRICS.tokens_per_second,
            name: redrawn(4),
            what: 'Tokens per second while a reply is written, over all turns.',
            rows: true,
          },
          { metric: sync, name: hasWords ? redrawn(5) : '', what: 'Bytes between the nodes for each turn, both ways.' },
          { metric: METRICS.arrive_ms, name: '', what: 'From the write of a turn until the other node can read it.' },
          ...(variants.has('client-side')
            ? [
                {
                  metric: METRICS.request_bytes,
                  name: redrawn(7),
                  what: 'Bytes that the client sends for each turn, HTTP heads included.',
                },
              ]
            : []),
        ];
  const notesOf = (metric: Metric) => [
    ...(metric === sync && !hasWords ? [WITHOUT_WORDS] : []),
    ...(kind === 'roaming' && metric === METRICS.response_ms ? [consistencyNote(panels)] : []),
    ...(kind === 'turns' && [METRICS.response_ms, METRICS.first_token_ms].includes(metric) ? [cacheNote(panels)] : []),
  ];
  return wanted.flatMap(({ metric, name, what, rows }) => {
    const comparisons = compared(panels, metric);
    if (comparisons.length === 0) return [];
    const names = {
      id: `${idOf(part)}-${idOf(metric.id)}`,
      name: name || titleOf(part, metric),
      about: [what, about, ...notesOf(metric)].filter((text) => text !== '').join(' '),
      caution,
      ...topicOf(metric, { sync, kind, isWarmed }),
    };
    if (rows === true) return [rowsFigure(canvas, names, comparisons, overallTable(comparisons))];
    const drawn = withoutFirstIfFarOff(comparisons);
    const turns = turnNumbers(panels.flatMap((panel) => panel.arms)).length;
    const more = [...(turns >= LONG_SESSION_TURNS ? [growthText(comparisons)] : []), ...drawn.notes, denseNote(turns)];
    const grown = { ...names, about: [names.about, ...more].filter((text) => text !== '').join(' ') };
    // The client's own history is what roaming, and what a request weighs, are about.
    const ownHistory = variants.has('client-side') ? 'client-side' : 'chat';
    const baseline = kind === 'roaming' || metric === METRICS.request_bytes ? ownHistory : undefined;
    const move = TIMES.includes(metric) ? moveCost(comparisons) : undefined;
    const ofMoves = isWarmed && metric === METRICS.first_token_ms;
    const told = ofMoves ? compared(panels, METRICS.first_token_after_move_ms) : comparisons;
    const finding = titleWithMove(move, findingOf(told, baseline));
    const standing = move?.isShown ? 'shown' : standingOf(mainVerdicts(told, baseline));
    const found = { finding, standing, ...(ofMoves && { afterMoves: told }) };
    return [turnsFigure(canvas, grown, drawn.comparisons, { table: turnsTable(comparisons), ...found })];
  });
}

const TIMES: readonly Metric[] = [METRICS.response_ms, METRICS.first_token_ms];

function topicOf(
  metric: Metric,
  { sync, kind, isWarmed }: { readonly sync: Metric; readonly kind: PlannedPart['kind']; readonly isWarmed: boolean },
): { readonly topic?: Topic } {
  if (metric === METRICS.request_bytes) return { topic: 'request' };
  if (metric === sync) return { topic: 'between-nodes' };
  if (kind !== 'roaming' || metric !== METRICS.first_token_ms) return {};
  return { topic: isWarmed ? 'warm-move' : 'move' };
}

/** Of several runs each has pictures of its own: one axis does not suit a small and a large model. */
function conditionFigures(canvas: Canvas, planned: PlannedPart): Figure[] {
  const origins = [...new Set(planned.panels.map(({ origin }) => origin))];
  return origins.flatMap((origin) => {
    const own = planned.panels.filter((panel) => panel.origin === origin);
    // What all of its panels have in common is said once.
    const panels = own.map((panel) => ({ ...panel, label: panel.labelInRun }));
    return conditionsOfRun(canvas, { ...planned, panels });
  });
}

function conditionsOfRun(canvas: Canvas, { part, about, panels, caution }: PlannedPart): Figure[] {
  const runLabel = panels[0]?.runLabel ?? '';
  return [METRICS.response_ms, METRICS.first_token_ms, syncMetric(panels)].flatMap((metric) => {
    const comparisons = compared(panels, metric);
    if (comparisons.length === 0) return [];
    const names = {
      id: [part, metric.id, runLabel]
        .filter((word) => word !== '')
        .map(idOf)
        .join('-'),
      name: [titleOf(part, metric), runLabel].filter((word) => word !== '').join(', '),
      about: [
        `${capital(metric.noun)}, over all turns.`,
        about,
        ...(runLabel === '' ? [] : [`Measured with ${runLabel}.`]),
      ].join(' '),
      caution,
    };
    return [rowsFigure(canvas, names, comparisons, overallTable(comparisons))];
  });
}

export function compared(panels: readonly Panel[], metric: Metric): Comparison[] {
  return panels.flatMap((panel) => compare(panel, metric) ?? []);
}

/** "When raw matters: response time". */
export function titleOf(part: string, metric: Metric): string {
  return `${PART_TITLES[part] ?? capital(part.replaceAll('-', ' '))}: ${metric.noun}`;
}

const PART_TITLES: Readonly<Record<string, string>> = { openai: "OpenAI's client" };
