import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram } from '../processes.ts';

/** A C file beside this one, made into a library for LD_PRELOAD in `folder`; or why that does not work here. */
export function compiledLibrary(name: string, folder: string): { readonly path: string } | { readonly whyNot: string } {
  const compiler = findProgram('cc') ?? findProgram('gcc');
  if (compiler === undefined) return { whyNot: 'there is no C compiler' };
  const path = join(folder, `${name}.so`);
  const source = fileURLToPath(new URL(`./${name}.c`, import.meta.url));
  const args = ['-O2', '-shared', '-fPIC', '-o', path, source, '-ldl'];
  const { status, stderr } = spawnSync(compiler, args, { encoding: 'utf8' });
  return status === 0 ? { path } : { whyNot: `the C compiler fails: ${stderr}` };
}
