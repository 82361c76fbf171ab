import type { Canvas } from './canvas.ts';
import { type Comparison, compare } from './comparison.ts';
import { type Figure, loadFigure, rowsFigure, turnsFigure } from './figure.ts';
import { loadTable, overallTable, turnsTable } from './figure-tables.ts';
import { findingOf } from './finding.ts';
import { type LoadSeries, loadSeriesOf, peakChange, peakOf } from './load-levels.ts';
import { variantInSentence } from './looks.ts';
import { isMeasured, METRICS, type Metric } from './metrics.ts';
import { changeText, oneDecimal } from './number-text.ts';
import { llmServiceLabel, type Panel, subjectOf, turnNumbers } from './panels.ts';
import type { ReportSource } from './report-source.ts';
import { verdictOf } from './statistics.ts';

/** What a part of an experiment is about, by what its rows hold. */
export type PartKind = 'load' | 'conditions' | 'roaming' | 'turns';

/** Settings that are ways to keep sessions consistent; others are conditions that are held against each other. */
const CONSISTENCY_SETTINGS = ['ours', 'paper', 'any', 'default', 'strong', 'available'];
/** Sessions longer than the paper's show how a number grows. */
const LONG_SESSION_TURNS = 15;

export interface PlannedPart {
  readonly part: string;
  readonly about: string;
  readonly kind: PartKind;
  /** Whether the paper's numbers may stand beside its own. */
  readonly isPapers: boolean;
  readonly panels: readonly Panel[];
}

/** Panels by their parts, in the order of the sources. */
export function partsOf(sources: readonly ReportSource[], panels: readonly Panel[]): PlannedPart[] {
  const names = [...new Set(panels.map(({ part }) => part))];
  return names.map((name) => {
    const own = panels.filter(({ part }) => part === name);
    const facts = sources.flatMap(({ parts }) => parts).find(({ part }) => part === name);
    const { about = '', isPapers = false } = facts ?? {};
    return { part: name, about, isPapers, kind: kindOf(own), panels: own };
  });
}

function kindOf(panels: readonly Panel[]): PartKind {
  const arms = panels.flatMap((panel) => panel.arms);
  if (arms.some(({ loads }) => loads.length > 0)) return 'load';
  const settings = new Set(panels.map(({ setting }) => setting));
  const known = [...settings].every((setting) => CONSISTENCY_SETTINGS.some((name) => setting.startsWith(name)));
  if (!known) return 'conditions';
  return arms.some(({ turns }) => turns.some(({ moved }) => moved)) ? 'roaming' : 'turns';
}

/** Bytes as a wire carries them, where every variant was measured so; else what is inside the encryption. */
export function syncMetric(panels: readonly Panel[]): Metric {
  const arms = panels.flatMap((panel) => panel.arms).filter(({ syncs }) => syncs.length > 0);
  return arms.every((arm) => isMeasured(METRICS.sync_bytes, [arm])) ? METRICS.sync_bytes : METRICS.sync_payload_bytes;
}

/** Every figure that the rows allow, in the order of the paper's where it has them. */
export function planFigures(canvas: Canvas, parts: readonly PlannedPart[]): Figure[] {
  const figures = parts.flatMap((planned) => {
    switch (planned.kind) {
      case 'load':
        return loadFigures(canvas, planned);
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
  return figures;
}

function turnFigures(canvas: Canvas, { part, about, kind, isPapers, panels }: PlannedPart): Figure[] {
  const sync = syncMetric(panels);
  const arms = panels.flatMap((panel) => panel.arms);
  const variants = new Set(arms.map(({ variant }) => variant));
  // The paper's bytes are those of language; weights drawn by chance do not write any.
  const hasWords = panels.every(({ replySources }) => !replySources.includes('random-weights'));
  const redrawn = (number: number) => (isPapers && variants.size > 1 ? `Figure ${number} of the paper` : '');
  const wanted: ReadonlyArray<{ metric: Metric; name: string; what: string; rows?: true }> =
    kind === 'roaming'
      ? [
          {
            metric: METRICS.response_ms,
            name: redrawn(6),
            what: 'Response time of each turn; dashed rules: the client has gone to another node.',
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
  return wanted.flatMap(({ metric, name, what, rows }) => {
    const comparisons = compared(panels, metric);
    if (comparisons.length === 0) return [];
    const names = {
      id: `${idOf(part)}-${idOf(metric.id)}`,
      name: name || titleOf(part, metric),
      about: `${what} ${about}`.trim(),
    };
    if (rows === true) return [rowsFigure(canvas, names, comparisons, overallTable(comparisons))];
    const long = turnNumbers(panels.flatMap((panel) => panel.arms)).length >= LONG_SESSION_TURNS;
    const grown = long ? { ...names, about: `${names.about} ${growthText(comparisons)}` } : names;
    // The client's own history is what roaming, and what a request weighs, are about.
    const baseline = kind === 'roaming' || metric === METRICS.request_bytes ? 'client-side' : undefined;
    const finding = findingOf(comparisons, baseline);
    return [turnsFigure(canvas, grown, comparisons, { table: turnsTable(comparisons), finding })];
  });
}

function conditionFigures(canvas: Canvas, { part, about, panels }: PlannedPart): Figure[] {
  return [METRICS.response_ms, METRICS.first_token_ms, syncMetric(panels)].flatMap((metric) => {
    const comparisons = compared(panels, metric);
    if (comparisons.length === 0) return [];
    const names = {
      id: `${idOf(part)}-${idOf(metric.id)}`,
      name: titleOf(part, metric),
      about: `${metric.label}, over all turns. ${about}`.trim(),
    };
    return [rowsFigure(canvas, names, comparisons, overallTable(comparisons))];
  });
}

function loadFigures(canvas: Canvas, { part, about, panels }: PlannedPart): Figure[] {
  const series = loadSeriesOf(panels);
  const subject = subjectOf(panels.flatMap((panel) => panel.arms));
  const ordered = [...series].sort(
    (a, b) => Number(b.variant === subject?.variant) - Number(a.variant === subject?.variant),
  );
  const names = {
    id: idOf(part),
    name: 'Parallel users',
    about: `Turns per second and response times. ${about}`.trim(),
  };
  const repeats = Math.min(...ordered.flatMap(({ levels }) => levels.map(({ throughput }) => throughput.length)));
  const drawn = { series: ordered, finding: loadFinding(ordered, panels[0]?.seed ?? 0), sessions: repeats };
  return [loadFigure(canvas, names, drawn, loadTable(ordered, part))];
}

/** For each LLM Service: the subject at its best, against what else was played there at its best. */
export function loadFinding(series: readonly LoadSeries[], seed: number): string {
  const subjects = series.filter(({ variant }) => variant === series[0]?.variant);
  const each = subjects.map((subject) => {
    const peak = peakOf(subject);
    const best = `${(peak?.estimates.turns_per_s?.value ?? 0).toFixed(2)} turns per second at ${peak?.users} users`;
    const where = subjects.length > 1 ? ` with ${llmServiceLabel(subject.llmService)}` : '';
    const others = series.filter(
      ({ variant, llmService }) => variant !== subject.variant && llmService === subject.llmService,
    );
    const changes = others.flatMap((other) => {
      const change = peakChange(other, subject, seed);
      if (change === undefined) return [];
      const amount =
        verdictOf(change) === 'no-difference' ? 'no different from' : `${changeText(change.value)} against`;
      return [`, ${amount} ${variantInSentence(other.variant)}`];
    });
    return `${best}${where}${changes.join('')}`;
  });
  const name = variantInSentence(subjects[0]?.variant ?? '');
  return `At its best, ${name} reaches ${each.join('; ')}`;
}

/** How the last turns compare with the first, for each variant of the first panel. */
function growthText(comparisons: readonly Comparison[]): string {
  const [first] = comparisons;
  const some = 5;
  const mean = (points: readonly { readonly estimate: { readonly value: number } }[]) =>
    points.reduce((sum, { estimate }) => sum + estimate.value, 0) / points.length;
  const ratios = (first?.series ?? []).map(({ arm, points }) => {
    const ratio = mean(points.slice(-some)) / mean(points.slice(0, some));
    return `${variantInSentence(arm.variant)} ×\u00a0${oneDecimal(ratio)}`;
  });
  return `The last ${some} turns against the first ${some}: ${ratios.join(', ')}.`;
}

export function compared(panels: readonly Panel[], metric: Metric): Comparison[] {
  return panels.flatMap((panel) => compare(panel, metric) ?? []);
}

/** "When raw matters: response time". */
export function titleOf(part: string, metric: Metric): string {
  const words = part.replaceAll('-', ' ');
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}: ${metric.noun}`;
}

/** Safe as a file's name, an id and a class. */
export function idOf(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
}
