import { type Comparison, mainChange } from './comparison.ts';
import { variantInSentence } from './looks.ts';
import type { Metric } from './metrics.ts';
import { changeWithInterval, oneDecimal } from './number-text.ts';
import { type Estimate, type Verdict, verdictOf } from './statistics.ts';

/**
 * What comparisons of one metric show, as a sentence without a full stop: "Tokenized context answers 3.1 % sooner than raw
 * text". Where an interval holds 0 it says that no
 * difference was shown; nothing here knows what was hoped for. Of several baselines it speaks of the one asked for, or of the
 * first.
 */
export function findingOf(comparisons: readonly Comparison[], preferredBaseline?: string): string {
  const found = comparisons.flatMap((comparison) => {
    const main = mainChange(comparison, preferredBaseline);
    return main === undefined ? [] : [{ comparison, ...main, verdict: directionOf(main.change) }];
  });
  const [first] = found;
  if (first === undefined) return describedAlone(comparisons);
  const { metric, series } = first.comparison;
  const subject = variantInSentence(series[0]?.arm.variant ?? '');
  const baseline = variantInSentence(first.baseline.variant);
  const of = (verdict: Direction) => found.filter((one) => one.verdict === verdict);
  const verdicts = [...new Set(found.map(({ verdict }) => verdict))];
  if (verdicts.length > 1) {
    const present = DIRECTIONS.filter((verdict) => of(verdict).length > 0);
    const each = present.map((verdict, place) => {
      const some = of(verdict);
      const amount = amountOf(
        verdict,
        some.map(({ change }) => change),
        metric,
      );
      if (found.length === 2) return `${amount} with ${some[0]?.comparison.panel.label}`;
      const count = place === 0 ? `${some.length} of ${found.length} cases` : String(some.length);
      const most = verdict === 'no-difference' || some.length < 2 ? some : [largestOf(some)];
      const which =
        verdict === 'no-difference' ? '' : ` (${some.length > 1 ? 'most: ' : ''}${most[0]?.comparison.panel.label})`;
      return `${amount} in ${count}${which}`;
    });
    const once = verdicts.some((verdict) => ONE_SESSION.includes(verdict)) ? ', in one session' : '';
    return capital(`${metric.noun}, ${subject} against ${baseline}: ${each.join(', ')}${once}`);
  }
  const changes = found.map(({ change }) => change);
  if (verdicts[0] === 'no-difference')
    return capital(`no difference shown in ${metric.noun} between ${subject} and ${baseline}`);
  const text = `${subject} ${metric.verb} ${amountOf(verdicts[0] as Direction, changes, metric)} than ${baseline}`;
  return capital(ONE_SESSION.includes(verdicts[0] as Direction) ? `${text}, in one session` : text);
}

/** "−3.1 % (−5.0 to −1.2) against raw text": a panel's own result, for each thing that its subject is shown against. */
export function resultOf({ series }: Comparison): string {
  return series
    .flatMap(({ arm, change }) =>
      change === undefined ? [] : [`${changeWithInterval(change)} against ${variantInSentence(arm.variant)}`],
    )
    .join('; ');
}

/** What all comparisons show their subject against, where that is one thing: it need not be said with each. */
export function soleBaseline(comparisons: readonly Comparison[]): string | undefined {
  const baselines = new Set(comparisons.flatMap(({ series }) => series.slice(1).map(({ arm }) => arm.variant)));
  const [sole] = baselines;
  return baselines.size === 1 ? sole : undefined;
}

/** What may be said, and of one session in which direction it went. */
type Direction = Exclude<Verdict, 'one-session'> | 'once-less' | 'once-more';
const DIRECTIONS: readonly Direction[] = ['less', 'more', 'no-difference', 'once-less', 'once-more'];
const ONE_SESSION: readonly Direction[] = ['once-less', 'once-more'];

function directionOf(change: Estimate): Direction {
  const verdict = verdictOf(change);
  if (verdict !== 'one-session') return verdict;
  return change.value < 0 ? 'once-less' : 'once-more';
}

function amountOf(verdict: Direction, changes: readonly Estimate[], metric: Metric): string {
  if (verdict === 'no-difference') return 'no difference shown';
  const shares = changes.map(({ value }) => Math.abs(value) * 100).sort((a, b) => a - b);
  const [low, high] = [shares[0] ?? 0, shares.at(-1) ?? 0].map(oneDecimal);
  const word = verdict === 'less' || verdict === 'once-less' ? metric.less : metric.more;
  return low === high ? `${low} % ${word}` : `${low} % to ${high} % ${word}`;
}

function largestOf<T extends { readonly change: Estimate }>(some: readonly T[]): T {
  const size = ({ change }: T) => Math.abs(change.value);
  return some.reduce((most, one) => (size(one) > size(most) ? one : most));
}

/** Nothing to compare with: the value is the finding. */
function describedAlone(comparisons: readonly Comparison[]): string {
  const [first] = comparisons;
  const overall = first?.series[0]?.overall;
  if (first === undefined || overall === undefined) return 'Nothing was measured';
  const variant = variantInSentence(first.series[0]?.arm.variant ?? '');
  return capital(`${first.metric.noun} with ${variant}: ${first.metric.text(overall.value)} ${first.metric.unit}`);
}

/** With a large first letter. */
export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
