import { variantInSentence } from '../drawing/looks.ts';
import { type Arm, type Panel, subjectOf } from '../source/panels.ts';
import type { Comparison } from './comparison.ts';
import { capital } from './finding.ts';
import type { Metric } from './metrics.ts';
import { oneDecimal } from './number-text.ts';
import { type Estimate, estimateChange, verdictOf } from './statistics.ts';

/** What the first turn at another node costs, against the turns that stay. */
export interface MoveCost {
  /** Without a full stop; begins small, to stand in a sentence. */
  readonly text: string;
  /** Whether it is beyond chance anywhere. */
  readonly isShown: boolean;
}

/**
 * Of what the figure is about, how much longer it takes after a move. A session's first turn is left out: it neither stays
 * nor moves. `undefined` where nobody moved.
 */
export function moveCost(comparisons: readonly Comparison[]): MoveCost | undefined {
  const [first] = comparisons;
  const changes = comparisons.flatMap(({ panel, metric }) => changeByMove(panel, metric) ?? []);
  if (first === undefined || changes.length === 0) return undefined;
  const shown = changes.filter((change) => !['no-difference', 'one-session'].includes(verdictOf(change)));
  if (changes.every(({ sessions }) => sessions < 2)) {
    return { text: 'what a move costs was played once each, too few to tell it from chance', isShown: false };
  }
  if (shown.length === 0) return { text: `a move costs no ${first.metric.noun} that is shown`, isShown: false };
  const times = shown.map(({ value }) => value + 1).sort((a, b) => a - b);
  const [least, most] = [times[0] ?? 1, times.at(-1) ?? 1].map(timesText);
  const range = least === most ? least : `${least} to ${most}`;
  const cases = shown.length === changes.length ? '' : `, in ${shown.length} of ${changes.length} cases`;
  const subject = variantInSentence(subjectOf(first.panel.arms)?.variant ?? '');
  return {
    text: `the turn after a move takes ${range} times the ${first.metric.noun} of turns that stay, with ${subject}${cases}`,
    isShown: true,
  };
}

/** Near 1 a single decimal would hide what is shown. */
function timesText(times: number): string {
  return times < 2 ? times.toFixed(2) : oneDecimal(times);
}

function changeByMove(panel: Panel, metric: Metric): Estimate | undefined {
  const subject = subjectOf(panel.arms);
  if (subject === undefined || !subject.turns.some(({ moved }) => moved)) return undefined;
  const sessions = (wanted: (turn: Arm['turns'][number]) => boolean) =>
    metric.sessions({ ...subject, wholeSessions: subject.wholeSessions.filter(wanted) });
  return estimateChange(
    sessions(({ moved, turn }) => !moved && turn > 1),
    sessions(({ moved }) => moved),
    panel.seed,
  );
}

/** What a move costs comes first in a title: the picture shows it at every move. */
export function titleWithMove(move: MoveCost | undefined, finding: string): string {
  if (move === undefined) return finding;
  return `${capital(move.text)}; ${finding.charAt(0).toLowerCase()}${finding.slice(1)}`;
}
