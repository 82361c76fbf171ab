/** Compiles both packages when a source is newer than what was compiled of it, and says so: a minute of silence looks like a fault. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What a build reads; a folder's own time tells of files that are gone from it. */
const SOURCES = [
  ...['src', 'package.json', 'tsconfig.json', 'tsconfig.build.json', 'tools/bundle-typebox.ts'],
  ...['evaluation/src', 'evaluation/package.json', 'evaluation/tsconfig.build.json', 'scenarios'],
];
/** What a build writes, one file of each package. */
const BUILT = ['dist/cli/main.js', 'evaluation/dist/commands/report.js'];

/** Whether what lies in `dist` is missing, or older than anything it is made of. */
export function isBuildStale(root: string): boolean {
  const built = BUILT.map((path) => join(root, path));
  if (!built.every((path) => existsSync(path))) return true;
  const builtMs = Math.min(...built.map((path) => statSync(path).mtimeMs));
  return SOURCES.some((path) => newestMs(join(root, path)) > builtMs);
}

function newestMs(path: string): number {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return 0;
  if (!found.isDirectory()) return found.mtimeMs;
  return Math.max(found.mtimeMs, ...readdirSync(path).map((name) => newestMs(join(path, name))));
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL('..', import.meta.url));
  if (isBuildStale(root)) {
    process.stderr.write('compiling, since sources are newer than what was compiled of them …\n');
    execFileSync('npm', ['run', 'build', '--silent'], { cwd: root, stdio: 'inherit' });
  }
}
