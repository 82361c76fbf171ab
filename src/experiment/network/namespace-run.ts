import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The source goes with the repository; the program is made when it is needed. */
const SWITCH_SOURCE = fileURLToPath(new URL('../../../src/experiment/network/packet-switch.c', import.meta.url));

/** A user namespace gives the right to make the others; with the last process of the process namespace all end. */
const UNSHARE = ['--user', '--map-root-user', '--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child'];
const COMPILERS = ['cc', 'gcc', 'clang'] as const;

/** Why there can be no network of namespaces on this machine; `undefined` when there can be one. */
export function whyNoNamespaces(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are for Linux';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun';
  if (!existsSync(SWITCH_SOURCE))
    return 'src/experiment/network/packet-switch.c is in the repository, not in the package';
  if (compiler() === undefined) return `there is no C compiler (${COMPILERS.join(', ')}) for packet-switch.c`;
  if (spawnSync('nsenter', ['--version']).status !== 0) return 'there is no nsenter (package util-linux)';
  const attempt = spawnSync('unshare', [...UNSHARE, 'ip', 'link', 'set', 'lo', 'up'], { encoding: 'utf8' });
  if (attempt.status === 0) return undefined;
  return `unshare and ip cannot make one: ${(attempt.error?.message ?? attempt.stderr).trim()}`;
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
  const words = [process.execPath, ...process.execArgv, script, ...args];
  // The shell is the first process in there, and so reaps those whose parents have been killed.
  const child = spawn('unshare', [...UNSHARE, 'sh', '-c', '"$@"; exit $?', 'sh', ...words], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
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

/** In a process started by {@link runInNamespaces}: calls `stop` when it is asked to stop, or its parent is gone. */
export function onStopFromOutside(stop: () => void): () => void {
  process.on('message', stop);
  process.on('disconnect', stop);
  return () => {
    process.off('message', stop);
    process.off('disconnect', stop);
    if (process.connected) process.disconnect();
  };
}

/** A folder that `remove` deletes. */
export function temporaryFolder(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'discedge-experiment-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

function compiler(): string | undefined {
  return COMPILERS.find((name) => spawnSync(name, ['--version']).status === 0);
}
