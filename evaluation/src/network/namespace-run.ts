import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Only the source is shipped, from src/ here and in the package; the program is made when it is needed. */
const SWITCH_SOURCE = fileURLToPath(new URL('../../src/network/packet-switch.c', import.meta.url));

/** A user namespace gives the right to make the others; with the last process of the process namespace all end. */
const UNSHARE = ['--user', '--map-root-user', '--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child'];
const COMPILERS = ['cc', 'gcc', 'clang'] as const;

/** Why there can be no network of namespaces on this machine; `undefined` when there can be one. */
export function whyNoNamespaces(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are for Linux';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun';
  if (!existsSync(SWITCH_SOURCE)) return 'packet-switch.c is missing from this installation';
  if (compiler() === undefined) return `there is no C compiler (${COMPILERS.join(', ')}) for packet-switch.c`;
  if (spawnSync('nsenter', ['--version']).status !== 0) return 'there is no nsenter (package util-linux)';
  const attempt = spawnSync('unshare', [...UNSHARE, 'ip', 'link', 'set', 'lo', 'up'], { encoding: 'utf8' });
  if (attempt.status === 0) return undefined;
  return `unshare and ip cannot make one: ${(attempt.error?.message ?? attempt.stderr).trim()}`;
}

/** A command line that runs `words` where it may make network namespaces, as {@link whyNoNamespaces} found. */
export function inNamespaces(words: readonly string[]): [command: string, ...args: string[]] {
  // The shell is the first process in there, and so reaps those whose parents have been killed.
  return ['unshare', ...UNSHARE, 'sh', '-c', '"$@"; exit $?', 'sh', ...words];
}

/** The packet switch as a program in `folder`. Call it where {@link whyNoNamespaces} found nothing. */
export function compilePacketSwitch(folder: string): string {
  const path = join(folder, 'packet-switch');
  const { status, stderr } = spawnSync(compiler() ?? 'cc', ['-O2', '-o', path, SWITCH_SOURCE], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the C compiler fails: ${stderr}`);
  return path;
}

/**
 * Runs this process's command line again, `args` in place of its arguments, where it may make network namespaces, and
 * resolves with its exit status. SIGINT and SIGTERM are handed on; nothing of it outlives this process.
 */
export async function runInNamespaces(args: readonly string[], signal: AbortSignal): Promise<number> {
  const script = process.argv[1] as string;
  const [command, ...words] = inNamespaces([process.execPath, ...process.execArgv, script, ...args]);
  const child = spawn(command, words, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  const stop = () => child.connected && child.send('stop');
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => resolve(code ?? 1));
    });
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

const EXIT_INTERRUPTED = 130;

/**
 * In a process started by {@link runInNamespaces}: aborted when its parent says so or is gone. Signals reach every process of
 * a terminal; what they mean is the parent's decision. A parent that goes after it has asked once does not wait any longer.
 */
export function stopFromOutside(): { readonly signal: AbortSignal; readonly leave: () => void } {
  const controller = new AbortController();
  const stop = () => controller.abort(new Error('stopped by the parent'));
  const gone = () => (controller.signal.aborted ? process.exit(EXIT_INTERRUPTED) : stop());
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => {});
  process.on('message', stop);
  process.on('disconnect', gone);
  const leave = () => {
    process.off('message', stop);
    process.off('disconnect', gone);
    if (process.connected) process.disconnect();
  };
  return { signal: controller.signal, leave };
}

/** A folder that `remove` deletes. */
export function temporaryFolder(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'discedge-experiment-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

function compiler(): string | undefined {
  return COMPILERS.find((name) => spawnSync(name, ['--version']).status === 0);
}
