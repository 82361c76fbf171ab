// Reads the documents and looks for files that they name and that are not there: what moves must be said to have moved.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Of the pages that say what is so now; CHANGELOG.md says what was. */
const DOCUMENTS = [
  ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'evaluation/README.md', 'scenarios/README.md'],
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const PATH = /`((?:src|test|tools|evaluation|benchmarks|docs|examples|scenarios|models)\/[\w./*{},-]+)`/g;

it.each(DOCUMENTS)('%s names files that are there', (document) => {
  const text = readFileSync(join(ROOT, document), 'utf8');
  const named = [...text.matchAll(PATH)].flatMap(([, path]) => alternatives(path as string));
  expect(named.filter((path) => !isThere(path))).toEqual([]);
});

it('ARCHITECTURE.md names files that are there, wherever it says they are, and every folder', () => {
  const text = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
  const inside = (folder: string) => readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true });
  const files = ['src', 'evaluation/src', 'test', 'tools'].flatMap((folder) =>
    inside(folder).map((entry) => `/${relative(ROOT, join(entry.parentPath, entry.name))}`),
  );
  const named = [...text.matchAll(/`([\w./-]+\.ts)`/g)].map(([, path]) => path as string);
  expect(named.filter((path) => !files.some((file) => file.endsWith(`/${path}`)))).toEqual([]);
  const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(folders.map(({ name }) => `src/${name}`).filter((folder) => !text.includes(`| \`${folder}\` |`))).toEqual([]);
});

/** `a/{b,c}.ts` is `a/b.ts` and `a/c.ts`. */
function alternatives(path: string): string[] {
  const [, before, choices, after] = /^(.*)\{([^}]*)\}(.*)$/.exec(path) ?? [];
  if (choices === undefined) return [path];
  return choices.split(',').flatMap((choice) => alternatives(`${before}${choice}${after}`));
}

function isThere(path: string): boolean {
  if (!path.includes('*')) return existsSync(join(ROOT, path));
  const [folder, name] = [join(ROOT, dirname(path)), basename(path)];
  const pattern = new RegExp(`^${name.replaceAll('.', '\\.').replaceAll('*', '.*')}$`);
  return existsSync(folder) && readdirSync(folder).some((entry) => pattern.test(entry));
}
