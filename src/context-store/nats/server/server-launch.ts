import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Clock } from '../../../environment/environment.ts';
import { within } from '../../../waiting/within.ts';

/** Lines kept for the reason of a failed start: the error is the last or the one before. */
const LINES_KEPT_MAX = 20;
const LINE_CHARS_MAX = 1_000;
/** JetStream reads its files before it is ready: gigabytes from a slow disk take tens of seconds. */
const READY_WAIT_MS = 120_000;
/** How long a server may take over its own shutdown before it is killed. */
const STOP_GRACE_MS = 10_000;

/** One run of a nats-server, from its start to its end. */
export interface ServerLaunch {
  /** `undefined` when the program could not be started at all. */
  readonly pid: number | undefined;
  /** Where clients are served; rejects with {@link LaunchFailed} when it ends, or takes too long, before it is ready. */
  readonly ready: Promise<{ readonly host: string; readonly port: number }>;
  /** Resolves when the process is gone, with the signal or exit status in words. */
  readonly ended: Promise<string>;
  /** The next line that matches, `undefined` when the process ends or `waitMs` passes before. */
  nextLine(pattern: RegExp, options: { readonly waitMs: number }): Promise<RegExpExecArray | undefined>;
  signal(signal: NodeJS.Signals): void;
  /** Resolves when the process is gone. */
  stop(): Promise<void>;
}

export class LaunchFailed extends Error {
  override readonly name = 'LaunchFailed';
  /** The end of its log. */
  readonly lines: readonly string[];

  constructor(message: string, lines: readonly string[]) {
    super(message);
    this.lines = lines;
  }
}

interface LaunchOptions {
  readonly path: string;
  readonly args: readonly string[];
  /** Its whole environment; this process's where it is left out. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly onLine: (line: string) => void;
}

/** Starts a server whose life ends with this process's. Its lines go to `onLine`. */
export function launchServer({ path, args, env, onLine }: LaunchOptions, clock: Clock): ServerLaunch {
  // In a session of its own: Ctrl-C in a terminal goes to the node, which needs the server until it has closed.
  const child = spawn(path, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
    ...(env && { env }),
  });
  const endGuard = child.pid === undefined ? () => {} : guard(child.pid);
  const kept: string[] = [];
  const listeners = new Set<(line: string) => void>([onLine]);
  const reader = createInterface({ input: child.stderr }).on('line', (line) => {
    kept.push(line.slice(0, LINE_CHARS_MAX));
    if (kept.length > LINES_KEPT_MAX) kept.shift();
    for (const listener of [...listeners]) listener(line);
  });
  const ended = endOf(child).finally(endGuard);
  const logRead = new Promise((resolve) => reader.once('close', resolve));

  function nextLine(pattern: RegExp, { waitMs }: { readonly waitMs: number }): Promise<RegExpExecArray | undefined> {
    return new Promise((resolve) => {
      const settle = (match: RegExpExecArray | undefined) => {
        listeners.delete(look);
        cancel();
        resolve(match);
      };
      const look = (line: string) => {
        const match = pattern.exec(line);
        if (match !== null) settle(match);
      };
      const cancel = clock.after(waitMs, () => settle(undefined));
      listeners.add(look);
      void Promise.all([ended, logRead]).then(() => settle(undefined));
    });
  }

  async function becomesReady(): Promise<{ host: string; port: number }> {
    const listening = nextLine(/Listening for client connections on (.+):(\d+)$/, { waitMs: READY_WAIT_MS });
    const isReady = await nextLine(/Server is ready$/, { waitMs: READY_WAIT_MS });
    const address = isReady && (await listening);
    if (!address) {
      child.kill('SIGKILL');
      throw new LaunchFailed(`nats-server is not ready; it ended with ${await ended}`, [...kept]);
    }
    return { host: address[1] as string, port: Number(address[2]) };
  }

  const ready = becomesReady();
  ready.catch(() => {});
  return {
    pid: child.pid,
    ready,
    ended,
    nextLine,
    signal: (signal) => void child.kill(signal),
    async stop() {
      child.kill('SIGTERM');
      await within({ clock, waitMs: STOP_GRACE_MS }, ended, () => {
        child.kill('SIGKILL');
        return ended;
      });
    },
  };
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `status ${code}`));
    // Only a start that fails has no exit: a signal that cannot be delivered is reported here, too.
    child.on('error', (error) => child.pid === undefined && resolve(error.message));
  });
}

/**
 * Sees to it that the server does not outlive this process, even one that is killed: a shell waits for the end of its
 * input, which comes when the kernel closes this process's files. Where there is no shell, the next start of the node
 * ends what was left over. The function returned ends the guard; the server's id may then be used again.
 */
function guard(pid: number): () => void {
  const shell = spawn('sh', ['-c', 'read -r _; kill -TERM "$1"', 'sh', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  shell.on('error', () => {});
  shell.stdin.on('error', () => {});
  shell.unref();
  (shell.stdin as Socket).unref();
  return () => void shell.kill('SIGKILL');
}
