import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

/** The repository, where this runs in one. */
const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));

/** "2 × Intel(R) Xeon(R) CPU @ 2.20GHz, 8 GiB, linux x64, Node.js v20.19.0" */
export function machine(): string {
  const processors = cpus();
  const model = processors[0]?.model.trim() ?? 'unknown processor';
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${processors.length} × ${model}, ${memory}, ${process.platform} ${process.arch}, Node.js ${process.version}`;
}

/** Short hash of the commit that runs, with `+` where the tree has changes; empty outside a repository of its own. */
export function commit(): string {
  if (!existsSync(`${REPOSITORY}/.git`)) return '';
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', REPOSITORY, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? '+' : ''}`;
  } catch {
    return '';
  }
}
