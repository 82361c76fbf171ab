import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import { composeReport, type ReportedRuns } from './compose-report.ts';
import { PngPainter } from './drawing/png.ts';
import type { Figure } from './figures/figure.ts';
import { pageMarkup } from './page/page.ts';

export interface ReportRequest extends ReportedRuns {
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
  const parts = await composeReport({ paths, compare });
  const { painter, withoutPng } = await painterIfAny();
  try {
    const figures = parts.figures.map(({ id, name, finding, svg }) => {
      const files: Array<readonly [string, string | Buffer]> = [[`${id}.svg`, svg]];
      if (painter !== undefined) files.push([`${id}.png`, painter.paint(svg)]);
      return { id, name, finding, paths: files.map(([file, content]) => write(folder, file, content)) };
    });
    const page = write(folder, 'index.html', pageMarkup(parts));
    const flaws = parts.sources.flatMap((source) => source.flaws.map((flaw) => `${source.run}: ${flaw}`));
    return { page, figures, flaws, withoutPng };
  } finally {
    painter?.close();
  }
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
