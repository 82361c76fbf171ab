import { execFileSync } from 'node:child_process';
import { cpus, loadavg, totalmem } from 'node:os';

/** What every row of a benchmark carries, so that it can be judged and repeated. */
export interface RunInfo {
  readonly bench: string;
  readonly commit: string;
  /** Whether the tree had changes that no commit names. */
  readonly dirty: boolean;
  readonly machine: string;
  readonly node: string;
  readonly seed: number;
  readonly startedAt: string;
  /** Processes that wanted a processor in the minute before: above the number of processors, times are the machine's. */
  readonly loadBefore: number;
}

export function runInfo(bench: string, seed: number): RunInfo {
  const processors = cpus();
  return {
    bench,
    commit: git('rev-parse', '--short', 'HEAD'),
    dirty: git('status', '--porcelain', '--untracked-files=no') !== '',
    machine: `${processors.length} × ${processors[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    node: process.version,
    seed,
    startedAt: new Date().toISOString(),
    loadBefore: Math.round((loadavg()[0] ?? 0) * 10) / 10,
  };
}

function git(...args: string[]): string {
  try {
    return execFileSync('git', args, { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}
