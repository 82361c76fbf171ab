/** The report in docs/report against the rows in benchmarks/results: one that was made of other rows, or by other code. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, it } from 'vitest';
import { composeReport } from '../../src/report/compose-report.ts';
import { type PageParts, pageMarkup } from '../../src/report/page/page.ts';

const folder = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const [REPORT, RESULTS] = [folder('docs/report'), folder('benchmarks/results')];
const HOW = 'make it again: see docs/report/README.md';

const page = readFileSync(join(REPORT, 'index.html'), 'utf8');
let parts: PageParts;
beforeAll(async () => {
  const [, names = ''] = /<code>npx discedge report ([^<]*)<\/code>/.exec(page) ?? [];
  const paths = names.split(' ').map((name) => join(RESULTS, name));
  parts = await composeReport({ paths, compare: false });
});

it('is what the recorded rows make, by the code that is here', () => {
  expect(pageMarkup(parts) === page, HOW).toBe(true);
  for (const { id, svg } of parts.figures) {
    expect(readFileSync(join(REPORT, `${id}.svg`), 'utf8') === svg, `${id}.svg: ${HOW}`).toBe(true);
  }
});

it('has every figure as a picture, and no others', () => {
  const pictures = readdirSync(REPORT).filter((name) => /\.(svg|png)$/.test(name));
  expect(pictures.sort()).toEqual(parts.figures.flatMap(({ id }) => [`${id}.png`, `${id}.svg`]).sort());
});

it('is of whole runs of every experiment, at a commit, with both LLM Services', () => {
  expect(parts.sources.map(({ title, flaws }) => [title, flaws])).toEqual(
    parts.sources.map(({ title }) => [title, []]),
  );
  for (const name of ['paper', 'growth', 'load']) {
    const of = parts.sources.filter(({ title }) => title === `discedge experiment ${name}`);
    const services = new Set(of.flatMap(({ turns }) => turns.map(({ labels }) => labels.llm_service)));
    expect([...services], name).toEqual(expect.arrayContaining(['embedded', 'llama-server']));
  }
});

it('the README shows figures of it', () => {
  const shown = [...readFileSync(folder('README.md'), 'utf8').matchAll(/\(docs\/report\/([a-z0-9-]+\.(?:png|svg))\)/g)];
  const pictures = readdirSync(REPORT);
  expect(shown.map(([, name]) => name as string).filter((name) => pictures.includes(name))).toHaveLength(3);
});
