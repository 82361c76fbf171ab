import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inNamespaces, whyNoNamespaces } from '../../evaluation/src/network/namespace-run.ts';
import { findProgram } from '../processes.ts';
import { natsPrograms } from '../real-servers/nats-programs.ts';

const RUN_PATH = fileURLToPath(new URL('./run.ts', import.meta.url));

export interface LaunchedRun {
  /** Program and arguments, as `startProcess` takes them. */
  readonly command: string;
  readonly args: readonly string[];
  /** Deletes what the run has left behind. */
  readonly remove: () => void;
}

/** How to start run.ts in a world of its own, where that is allowed; `args` are its arguments. */
export async function launchedRun(args: readonly string[]): Promise<LaunchedRun> {
  const folder = mkdtempSync(join(tmpdir(), 'discedge-faults-'));
  const [nats] = await natsPrograms();
  const whyNot = whyNoNamespaces();
  const words = [
    ...[process.execPath, '--import', 'tsx', RUN_PATH, '--folder', folder, '--nats-program', nats?.path ?? ''],
    ...(whyNot === undefined ? [] : ['--no-namespaces', whyNot]),
    ...args,
  ];
  const remove = () => rmSync(folder, { recursive: true, force: true });
  if (whyNot !== undefined) return { command: words[0] as string, args: words.slice(1), remove };
  const [command, ...rest] = inNamespaces(words);
  return { command, args: rest, remove };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { command, args, remove } = await launchedRun(process.argv.slice(2));
  // Where setpriv is missing, a run whose launcher was killed with -9 goes on to its end.
  const guard = findProgram('setpriv') === undefined ? [] : ['setpriv', '--pdeathsig', 'KILL', '--'];
  const [program = '', ...words] = [...guard, command, ...args];
  const child = spawn(program, words, { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill('SIGKILL'));
  child.once('exit', (code) => {
    remove();
    process.exitCode = code ?? 1;
  });
}
