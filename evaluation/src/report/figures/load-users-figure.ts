import type { Canvas } from '../drawing/canvas.ts';
import { variantInSentence } from '../drawing/looks.ts';
import { llmServiceLabel } from '../labels.ts';
import { standingOf } from '../numbers/finding.ts';
import { sessionCount } from '../numbers/interval-note.ts';
import { type LoadSeries, loadSeriesOf, peakChange, peakOf } from '../numbers/load-levels.ts';
import { changeText } from '../numbers/number-text.ts';
import { type Verdict, verdictOf } from '../numbers/statistics.ts';
import { subjectOf } from '../source/panels.ts';
import type { PlannedPart } from '../source/planned-part.ts';
import { type Figure, type Finding, idOf, loadFigure } from './figure.ts';
import { loadTable } from './figure-tables.ts';

/** Turns a second and response times of more and more users at once. */
export function loadUsersFigure(canvas: Canvas, { part, about, panels, caution }: PlannedPart): Figure {
  const series = loadSeriesOf(panels);
  const subject = subjectOf(panels.flatMap((panel) => panel.arms));
  const ordered = [...series].sort(
    (a, b) => Number(b.variant === subject?.variant) - Number(a.variant === subject?.variant),
  );
  const names = {
    id: idOf(part),
    name: 'Parallel users',
    about: `Turns per second and response times. ${about}`.trim(),
    caution,
  };
  const sessions = sessionCount(
    ordered.flatMap(({ levels }) => levels.map(({ repeats }) => repeats.turns_per_s.length)),
  );
  const drawn = { series: ordered, ...loadFinding(ordered, panels[0]?.seed ?? 0), sessions };
  return loadFigure(canvas, names, drawn, loadTable(ordered, part));
}

/** For each LLM Service: the subject at its best, against what else was played there at its best. */
function loadFinding(series: readonly LoadSeries[], seed: number): Finding {
  const verdicts: Verdict[] = [];
  const subjects = series.filter(({ variant }) => variant === series[0]?.variant);
  const each = subjects.map((subject) => {
    const others = series.filter(
      ({ variant, llmService, origin }) =>
        variant !== subject.variant && llmService === subject.llmService && origin === subject.origin,
    );
    const changes = others.flatMap((other) => {
      const change = peakChange(other, subject, seed);
      if (change === undefined) return [];
      const verdict = verdictOf(change);
      verdicts.push(verdict);
      if (verdict === 'one-session') return [];
      const amount =
        verdict === 'no-difference' ? 'no difference shown against' : `${changeText(change.value)} against`;
      return [`${amount} ${variantInSentence(other.variant)}`];
    });
    const best = peakOf(subject)?.estimates.turns_per_s?.value ?? 0;
    const run = new Set(subjects.map(({ origin }) => origin)).size > 1 ? ` in ${subject.origin}` : '';
    const where = `${best.toFixed(2)} with ${llmServiceLabel(subject.llmService)}${run}`;
    return changes.length === 0 ? where : `${where} (${changes.join(', ')})`;
  });
  const once = verdicts.includes('one-session') ? '; played once each, too few to tell a difference from chance' : '';
  const finding = `Turns per second at best, ${variantInSentence(subjects[0]?.variant ?? '')}: ${each.join(', ')}${once}`;
  return { finding, standing: standingOf(verdicts) };
}
