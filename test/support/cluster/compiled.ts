import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram } from '../processes.ts';

/** A C file beside this one, made into a program or a library for LD_PRELOAD in `folder`; or why that does not work here. */
export function compiled(
  name: string,
  options: { readonly folder: string; readonly library: boolean },
): { readonly path: string } | { readonly whyNot: string } {
  const compiler = findProgram('cc') ?? findProgram('gcc');
  if (compiler === undefined) return { whyNot: 'there is no C compiler' };
  const path = join(options.folder, options.library ? `${name}.so` : name);
  const source = fileURLToPath(new URL(`./${name}.c`, import.meta.url));
  const { status, stderr } = spawnSync(
    compiler,
    ['-O2', ...(options.library ? ['-shared', '-fPIC'] : []), '-o', path, source, '-ldl'],
    { encoding: 'utf8' },
  );
  return status === 0 ? { path } : { whyNot: `the C compiler fails: ${stderr}` };
}
