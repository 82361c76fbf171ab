import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DiscedgeError } from '../../domain/errors.ts';
import { Canvas } from './canvas.ts';
import { compareRuns, differencesOf } from './compare-runs.ts';
import type { Figure } from './figure.ts';
import { headlineTable } from './headline.ts';
import { limitsOf } from './limits.ts';
import { type PageParts, pageMarkup } from './page.ts';
import { panelsOf } from './panels.ts';
import { partsOf, planFigures } from './plan-figures.ts';
import { PngPainter } from './png.ts';
import { type ReportSource, readSource } from './report-source.ts';

export interface ReportRequest {
  /** NDJSON files of experiments and scenario runs, at least one; for a comparison the earlier one and the later one. */
  readonly paths: readonly string[];
  readonly compare: boolean;
  /** Made if it is not there; files of an earlier report are replaced. */
  readonly folder: string;
}

export interface MadeReport {
  readonly page: string;
  readonly figures: readonly (Pick<Figure, 'id' | 'name' | 'finding'> & { readonly paths: readonly string[] })[];
  /** `run: flaw`, for each run that is incomplete or otherwise to be read with care. */
  readonly flaws: readonly string[];
  /** Why there are no PNG files; `undefined` when there are. */
  readonly withoutPng: string | undefined;
}

/** Reads runs, draws what they show, and writes `index.html` with its figures as SVG and PNG. Throws `results_unusable`. */
export async function makeReport({ paths, compare, folder }: ReportRequest): Promise<MadeReport> {
  const sources = paths.map(readSource);
  const canvas = await Canvas.create();
  const parts = compare ? comparisonPage(canvas, sources, paths) : reportPage(canvas, sources, paths);
  if (parts.figures.length === 0) {
    const none = compare ? 'the runs have nothing in common that could be compared' : 'there is no answered turn in it';
    throw new DiscedgeError('results_unusable', `no report can be made of ${paths.join(' and ')}: ${none}`);
  }
  const { painter, withoutPng } = await painterIfAny();
  try {
    const figures = parts.figures.map(({ id, name, finding, svg }) => {
      const files: Array<readonly [string, string | Buffer]> = [[`${id}.svg`, svg]];
      if (painter !== undefined) files.push([`${id}.png`, painter.paint(svg)]);
      return { id, name, finding, paths: files.map(([file, content]) => write(folder, file, content)) };
    });
    const page = write(folder, 'index.html', pageMarkup(parts));
    const flaws = sources.flatMap((source) => source.flaws.map((flaw) => `${source.run}: ${flaw}`));
    return { page, figures, flaws, withoutPng };
  } finally {
    painter?.close();
  }
}

function reportPage(canvas: Canvas, sources: readonly ReportSource[], paths: readonly string[]): PageParts {
  const planned = partsOf(sources, panelsOf(sources));
  const headline = planned.some(({ kind }) => kind === 'turns' || kind === 'roaming')
    ? { heading: 'The paper and this run', table: headlineTable(planned) }
    : undefined;
  return {
    title: 'DisCEdge: what was measured',
    lead: sources.map(({ title, run }) => `${title} (${run})`).join(' · '),
    sources,
    figures: planFigures(canvas, planned),
    headline,
    limits: limitsOf(sources, planned),
    command: `discedge report ${paths.map((path) => basename(path)).join(' ')}`,
  };
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
    command: `discedge report --compare ${paths.map((path) => basename(path)).join(' ')}`,
  };
}

function causes(before: ReportSource, after: ReportSource): string[] {
  const differences = differencesOf(before, after);
  return differences.length === 0
    ? ['A cause: the runs were made alike, so what changed is chance or what no row records.']
    : [`Which of their differences made a change: the runs differ in ${differences.join('; ')}.`];
}

/** There may be no painter for a platform; figures as SVG are worth having without. */
async function painterIfAny(): Promise<{ painter: PngPainter | undefined; withoutPng: string | undefined }> {
  try {
    return { painter: await PngPainter.create(), withoutPng: undefined };
  } catch (error) {
    return { painter: undefined, withoutPng: (error as Error).message.split('\n')[0] ?? '' };
  }
}

function write(folder: string, name: string, content: string | Buffer): string {
  const path = join(folder, name);
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(path, content);
  } catch (cause) {
    throw new DiscedgeError('results_unusable', `${path} cannot be written: ${(cause as Error).message}`, { cause });
  }
  return path;
}
