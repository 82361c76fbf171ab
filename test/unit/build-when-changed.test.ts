/** When `npm start` and `npm run demo` compile: after every change, and never without one. */
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { isBuildStale } from '../../tools/build-when-changed.ts';

const BEFORE = new Date('2026-01-01T10:00:00Z');
const BUILT_AT = new Date('2026-01-01T11:00:00Z');
const AFTER = new Date('2026-01-01T12:00:00Z');

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'discedge-test-'));
  for (const path of ['src/cli/main.ts', 'evaluation/src/commands/report.ts', 'scenarios/robot.yaml', 'package.json']) {
    write(path, BEFORE);
  }
  write('dist/cli/main.js', BUILT_AT);
  write('evaluation/dist/commands/report.js', BUILT_AT);
  for (const folder of ['src', 'src/cli', 'evaluation/src', 'evaluation/src/commands', 'scenarios'])
    date(folder, BEFORE);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, time: Date): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), '');
  date(path, time);
}

function date(path: string, time: Date): void {
  utimesSync(join(root, path), time, time);
}

it('what was compiled of the sources as they are is kept', () => {
  expect(isBuildStale(root)).toBe(false);
});

it.each(['src/cli/main.ts', 'evaluation/src/commands/report.ts', 'scenarios/robot.yaml', 'package.json'])(
  'a newer %s is compiled',
  (path) => {
    date(path, AFTER);
    expect(isBuildStale(root)).toBe(true);
  },
);

it('a source that is gone is noticed', () => {
  rmSync(join(root, 'src/cli/main.ts'));
  expect(isBuildStale(root)).toBe(true);
});

it.each(['dist', 'evaluation/dist'])('without %s it is compiled', (folder) => {
  rmSync(join(root, folder), { recursive: true });
  expect(isBuildStale(root)).toBe(true);
});
