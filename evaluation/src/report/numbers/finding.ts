import { variantInSentence } from '../drawing/looks.ts';
import { type Comparison, mainChange } from './comparison.ts';
import type { Metric } from './metrics.ts';
import { changeWithInterval, oneDecimal } from './number-text.ts';
import { type Estimate, type Verdict, verdictOf } from './statistics.ts';

/**
 * What comparisons of one metric show, as a sentence without a full stop: "Tokenized context answers 3.1 % sooner than raw
 * text". Where an interval holds 0 it says that no
 * difference was shown, of one session each that this is too few; nothing here knows what was hoped for. Of several baselines it speaks of the one asked for, or of the
 * first.
 */
export function findingOf(comparisons: readonly Comparison[], preferredBaseline?: string): string {
  const found = comparisons.flatMap((comparison) => {
    const main = mainChange(comparison, preferredBaseline);
    return main === undefined ? [] : [{ comparison, ...main, verdict: verdictOf(main.change) }];
  });
  const [first] = found;
  if (first === undefined) return describedAlone(comparisons);
  const { metric, series } = first.comparison;
  const subject = variantInSentence(series[0]?.arm.variant ?? '');
  const baseline = variantInSentence(first.baseline.variant);
  const of = (verdict: Verdict) => found.filter((one) => one.verdict === verdict);
  const verdicts = [...new Set(found.map(({ verdict }) => verdict))];
  if (verdicts.length > 1) {
    const present = VERDICTS.filter((verdict) => of(verdict).length > 0);
    const each = present.map((verdict, place) => {
      const some = of(verdict);
      const amount = amountOf(
        verdict,
        some.map(({ change }) => change),
        metric,
      );
      if (found.length === 2) return `${amount} with ${some[0]?.comparison.panel.label}`;
      const count = place === 0 ? `${some.length} of ${found.length} cases` : String(some.length);
      const most = isUndecided(verdict) || some.length < 2 ? some : [largestOf(some)];
      const which = isUndecided(verdict)
        ? ''
        : ` (${some.length > 1 ? 'most: ' : ''}${most[0]?.comparison.panel.label})`;
      return `${amount} in ${count}${which}`;
    });
    return capital(`${metric.noun}, ${subject} against ${baseline}: ${each.join(', ')}`);
  }
  const changes = found.map(({ change }) => change);
  if (verdicts[0] === 'no-difference')
    return capital(`no difference shown in ${metric.noun} between ${subject} and ${baseline}`);
  if (verdicts[0] === 'one-session') return capital(`${metric.noun}, ${subject} against ${baseline}: ${ONE_SESSION}`);
  return capital(`${subject} ${metric.verb} ${amountOf(verdicts[0] as Verdict, changes, metric)} than ${baseline}`);
}

/** What a figure is worth as news: of one session each nothing can be told from chance. */
export type Standing = 'shown' | 'no-difference' | 'untested';

/** Of a figure's changes together; what compares nothing shows what it shows. */
export function standingOf(verdicts: readonly Verdict[]): Standing {
  if (verdicts.length === 0 || verdicts.some((verdict) => !isUndecided(verdict))) return 'shown';
  return verdicts.includes('no-difference') ? 'no-difference' : 'untested';
}

/** What `findingOf` speaks of. */
export function mainVerdicts(comparisons: readonly Comparison[], preferredBaseline?: string): Verdict[] {
  return comparisons.flatMap((comparison) => {
    const main = mainChange(comparison, preferredBaseline);
    return main === undefined ? [] : [verdictOf(main.change)];
  });
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

const VERDICTS: readonly Verdict[] = ['less', 'more', 'no-difference', 'one-session'];
const ONE_SESSION = 'one session each, too few to tell a difference from chance';

function isUndecided(verdict: Verdict): boolean {
  return verdict === 'no-difference' || verdict === 'one-session';
}

function amountOf(verdict: Verdict, changes: readonly Estimate[], metric: Metric): string {
  if (verdict === 'no-difference') return 'no difference shown';
  if (verdict === 'one-session') return 'one session each, not tested,';
  const shares = changes.map(({ value }) => Math.abs(value) * 100).sort((a, b) => a - b);
  const [low, high] = [shares[0] ?? 0, shares.at(-1) ?? 0].map(oneDecimal);
  const word = verdict === 'less' ? metric.less : metric.more;
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
