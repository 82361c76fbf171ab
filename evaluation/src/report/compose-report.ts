import { basename } from 'node:path';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import { compareRuns, differencesOf } from './changes/compare-runs.ts';
import { Canvas } from './drawing/canvas.ts';
import { headlineTable } from './figures/headline.ts';
import { planFigures } from './figures/plan-figures.ts';
import { limitsOf } from './limits.ts';
import type { PageParts } from './page/page.ts';
import { panelsOf } from './source/panels.ts';
import { partsOf } from './source/planned-part.ts';
import { type ReportSource, readSource } from './source/report-source.ts';

export interface ReportedRuns {
  /** NDJSON files of experiments and scenario runs, at least one; for a comparison the earlier one and the later one. */
  readonly paths: readonly string[];
  readonly compare: boolean;
}

/** Reads runs and draws what they show. Throws `results_unusable`. */
export async function composeReport({ paths, compare }: ReportedRuns): Promise<PageParts> {
  const sources = paths.map(readSource);
  if (!compare) refuseTwice(sources, paths);
  const canvas = await Canvas.create();
  const parts = compare ? comparisonPage(canvas, sources, paths) : reportPage(canvas, sources, paths);
  if (parts.figures.length > 0) return parts;
  const none = compare ? 'the runs have nothing in common that could be compared' : 'there is no answered turn in it';
  throw new DiscedgeError('results_unusable', `no report can be made of ${paths.join(' and ')}: ${none}`);
}

/** The same rows twice would look like more repeats, or like more bytes. */
function refuseTwice(sources: readonly ReportSource[], paths: readonly string[]): void {
  const seen = new Map<string, string>();
  for (const [index, { run }] of sources.entries()) {
    const path = paths[index] as string;
    const first = seen.get(run);
    if (first !== undefined) {
      throw new DiscedgeError('results_unusable', `${path} holds the same run as ${first}; name it once`);
    }
    seen.set(run, path);
  }
}

function reportPage(canvas: Canvas, sources: readonly ReportSource[], paths: readonly string[]): PageParts {
  const planned = partsOf(sources, panelsOf(sources));
  const headline = planned.some(({ isPapers }) => isPapers)
    ? { heading: 'The paper and this run', table: headlineTable(planned) }
    : undefined;
  return {
    title: 'DisCEdge: what was measured',
    lead: leadOf(sources),
    sources,
    figures: planFigures(canvas, planned),
    headline,
    limits: limitsOf(sources, planned),
    command: `npx discedge report ${paths.map((path) => basename(path)).join(' ')}`,
  };
}

/** What was run, and how often; which runs they were stands at the end of the page. */
function leadOf(sources: readonly ReportSource[]): string {
  const titles = [...new Set(sources.map(({ title }) => title))].map((title) => {
    const runs = sources.filter((source) => source.title === title).length;
    return runs === 1 ? title : `${title} (${runs} runs)`;
  });
  return titles.join(' · ');
}

function comparisonPage(canvas: Canvas, sources: readonly ReportSource[], paths: readonly string[]): PageParts {
  const [before, after] = sources as [ReportSource, ReportSource];
  const { figures, table } = compareRuns(canvas, before, after);
  return {
    title: 'DisCEdge: what changed between two runs',
    lead: `From ${before.run} to ${after.run}`,
    sources,
    figures,
    headline: { heading: 'What changed', table },
    limits: [...causes(before, after), ...limitsOf(sources, partsOf(sources, panelsOf(sources)))],
    command: `npx discedge report --compare ${paths.map((path) => basename(path)).join(' ')}`,
  };
}

function causes(before: ReportSource, after: ReportSource): string[] {
  const differences = differencesOf(before, after);
  return [
    differences.length === 0
      ? 'A cause: the runs were made alike, so what changed is chance or what no row records.'
      : `Which of their differences made a change: the runs differ in ${differences.join('; ')}.`,
    'That every change listed is one: of many comparisons one in twenty seems to be by chance alone, from three sessions one in four.',
  ];
}
