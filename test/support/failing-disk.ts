import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram } from '../../tools/processes.ts';

/** Makes the library for LD_PRELOAD of failing-disk.c in a folder; `whyNot` where that cannot be done here. */
export function failingDisk(folder: string): { readonly path: string; readonly whyNot: string | undefined } {
  const path = join(folder, 'failing-disk.so');
  return { path, whyNot: build(path) };
}

function build(path: string): string | undefined {
  if (process.platform !== 'linux') return 'LD_PRELOAD is for Linux';
  const compiler = findProgram('cc') ?? findProgram('gcc');
  if (compiler === undefined) return 'no C compiler';
  const source = fileURLToPath(new URL('failing-disk.c', import.meta.url));
  const { status, stderr } = spawnSync(compiler, ['-shared', '-fPIC', '-o', path, source, '-ldl']);
  return status === 0 ? undefined : `the C compiler fails: ${stderr}`;
}
