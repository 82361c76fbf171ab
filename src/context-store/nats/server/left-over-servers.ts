import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { DiscedgeError } from '../../../domain/errors.ts';
import type { Clock, Environment } from '../../../environment/environment.ts';
import { pause } from '../../../waiting/pause.ts';

/** How long a server may take over its own shutdown before it is killed, and to be gone after that. */
const END_WAIT_MS = 10_000;
/** Nobody tells a process when one that it did not start ends. */
const LOOK_INTERVAL_MS = 50;
const PS_OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Ends every server that an earlier process of this node left behind, before a second one opens the same JetStream
 * folder. A server is known by its command line, which names this very configuration file; nothing else is touched.
 * Throws `nats_unavailable` when one does not end.
 */
export async function endLeftOverServers(configFile: string, { clock, logger }: Environment): Promise<void> {
  for (const pid of await serversOf(configFile)) {
    logger.warn('nats_server_left_over', { pid });
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      if (await ends(pid, signal, { configFile, clock })) break;
      if (signal === 'SIGKILL') {
        throw new DiscedgeError('nats_unavailable', `an earlier nats-server, process ${pid}, does not end; end it`);
      }
    }
  }
}

async function ends(
  pid: number,
  signal: NodeJS.Signals,
  { configFile, clock }: { configFile: string; clock: Clock },
): Promise<boolean> {
  try {
    process.kill(pid, signal);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ESRCH') return true;
    throw new DiscedgeError(
      'nats_unavailable',
      `an earlier nats-server, process ${pid}, belongs to another user; end it`,
      { cause },
    );
  }
  const endMs = clock.monotonic() + END_WAIT_MS;
  while (clock.monotonic() < endMs) {
    if (!(await serversOf(configFile)).includes(pid)) return true;
    await pause(clock, LOOK_INTERVAL_MS);
  }
  return false;
}

/** Processes started with `--config <configFile>`. */
export async function serversOf(configFile: string): Promise<number[]> {
  return (await fromProc(configFile)) ?? fromPs(configFile);
}

/** `undefined` where there is no /proc. */
async function fromProc(configFile: string): Promise<number[] | undefined> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  if (pids.length === 0) return undefined;
  const found: number[] = [];
  for (const pid of pids) {
    // It may have ended since the listing.
    const args = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (args.some((arg, index) => arg === '--config' && args[index + 1] === configFile)) found.push(Number(pid));
  }
  return found;
}

/** For systems without /proc. Exported for its test. */
export function fromPs(configFile: string): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const args = ['-A', '-ww', '-o', 'pid=,args='];
    execFile('ps', args, { maxBuffer: PS_OUTPUT_BYTES_MAX }, (cause, stdout) => {
      if (cause !== null) {
        reject(new DiscedgeError('nats_unavailable', `processes cannot be listed: ${cause.message}`, { cause }));
        return;
      }
      const lines = stdout.split('\n').filter((line) => `${line} `.includes(` --config ${configFile} `));
      resolve(lines.map((line) => Number.parseInt(line, 10)));
    });
  });
}
