import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

/** Lines kept per process: enough for a start-up log and the error under it, small enough for an error message. */
const LOG_LINES_MAX = 200;
/** A line can carry a whole prompt when a server logs verbosely; the start of it says enough. */
const LOG_LINE_CHARS_MAX = 2_000;
/** Only there to end a test that hangs: a node starts in seconds, on a machine that is busy in minutes. */
const READY_WAIT_MS = 120_000;
const HTTP_POLL_MS = 20;
/** How long a process may take over its own shutdown before it is killed. */
const STOP_GRACE_MS = 5_000;
/** A grandchild can hold the pipes open; the process itself is gone, so its exit is reported anyway. */
const PIPES_AFTER_EXIT_MS = 500;

export interface ProcessOptions {
  readonly command: string;
  readonly args?: readonly string[];
  /** Added to this process's environment; `undefined` removes a variable. */
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Told every line, whole. */
  readonly onLine?: (line: string) => void;
  /** What errors call it; the command's name by default. */
  readonly name?: string;
}

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RunningProcess {
  readonly name: string;
  readonly pid: number;
  /** Resolves when the process is gone and its output has been read. Never rejects. */
  readonly exited: Promise<ProcessExit>;
  readonly hasExited: boolean;
  /** The last 200 lines of stdout and stderr together. */
  log(): string;
  /**
   * The first line, past or future, that matches. A line that has already fallen out of `log()` is not seen.
   * Rejects when the process exits or `waitMs` (default 30 s) is over; the message ends with the log.
   */
  waitForLine(pattern: RegExp, options?: { readonly waitMs?: number }): Promise<RegExpExecArray>;
  /** Resolves when a GET of `url` is answered with a 2xx status. Rejects as `waitForLine` does. */
  waitForHttp(url: string, options?: { readonly waitMs?: number }): Promise<void>;
  /** Sends a signal; nothing happens when the process has already gone. */
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, then SIGKILL after `graceMs` (default 5 s). Resolves when the process is gone; may be called twice. */
  stop(options?: { readonly graceMs?: number }): Promise<ProcessExit>;
}

/**
 * Starts a program whose life ends with this process's, however this process ends.
 * Rejects when the program cannot be started at all.
 */
export async function startProcess(options: ProcessOptions): Promise<RunningProcess> {
  const name = options.name ?? options.command;
  const { command, args } = boundToParent(requireProgram(options.command), options.args ?? []);
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const pid = child.pid;
  if (pid === undefined) {
    const cause = await new Promise<Error>((resolve) => child.once('error', resolve));
    throw new Error(`${name} could not be started: ${cause.message}`, { cause });
  }
  // A signal that cannot be delivered is reported here; `exited` already tells what matters.
  child.on('error', () => {});

  const lines: string[] = [];
  const lineListeners = new Set<(line: string) => void>();
  const read = (stream: Readable) =>
    createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) => {
      lines.push(line.slice(0, LOG_LINE_CHARS_MAX));
      if (lines.length > LOG_LINES_MAX) lines.shift();
      options.onLine?.(line);
      for (const listener of [...lineListeners]) listener(line);
    });
  read(child.stdout);
  read(child.stderr);

  let exit: ProcessExit | undefined;
  alive.add(child);
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once('exit', (code, signal) => {
      exit = { code, signal };
      alive.delete(child);
      setTimeout(() => resolve({ code, signal }), PIPES_AFTER_EXIT_MS).unref();
    });
    child.once('close', (code, signal) => resolve({ code, signal }));
  });

  const log = () => lines.join('\n');
  const failure = (what: string) => new Error(`${name} ${what}; its log ends:\n${log() || '(empty)'}`);

  /** Runs `attempt` until it settles, the process exits or the time is over, whichever is first. */
  async function bounded<T>(what: string, waitMs: number, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const over = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    try {
      return await Promise.race([
        attempt(over.signal),
        exited.then(({ code, signal }) => {
          throw failure(`exited (${signal ?? `code ${code}`}) before ${what}`);
        }),
        new Promise<never>((_, reject) => {
          timer = setTimeout(() => reject(failure(`did not reach ${what} in ${waitMs} ms`)), waitMs);
        }),
      ]);
    } finally {
      clearTimeout(timer);
      over.abort();
    }
  }

  return {
    name,
    pid,
    exited,
    get hasExited() {
      return exit !== undefined;
    },
    log,
    waitForLine(pattern, { waitMs = READY_WAIT_MS } = {}) {
      return bounded(`the line ${pattern}`, waitMs, (signal) => {
        return new Promise((resolve) => {
          const look = (line: string) => {
            const found = new RegExp(pattern).exec(line);
            if (found !== null) resolve(found);
          };
          lines.forEach(look);
          lineListeners.add(look);
          signal.addEventListener('abort', () => lineListeners.delete(look));
        });
      });
    },
    waitForHttp(url, { waitMs = READY_WAIT_MS } = {}) {
      return bounded(`an answer from ${url}`, waitMs, async (signal) => {
        while (!signal.aborted && !(await answers(url, signal))) {
          await new Promise((resolve) => setTimeout(resolve, HTTP_POLL_MS));
        }
      });
    },
    kill(signal) {
      child.kill(signal);
    },
    async stop({ graceMs = STOP_GRACE_MS } = {}) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      try {
        return await exited;
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

/** The path of an executable file, looked up on PATH when `command` is a bare name; `undefined` when there is none. */
export function findProgram(command: string, searchPath = process.env.PATH ?? ''): string | undefined {
  const candidates = command.includes('/')
    ? [command]
    : searchPath
        .split(delimiter)
        .filter(Boolean)
        .map((folder) => join(folder, command));
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    } catch {
      return false;
    }
  });
}

function requireProgram(command: string): string {
  const path = findProgram(command);
  if (path === undefined) throw new Error(`${command} could not be started: there is no such program`);
  return path;
}

async function answers(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch(url, { signal });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

// The exit hook covers an orderly end. A test worker can also be killed outright, and then only the kernel can tell
// the child: Linux does, when asked through setpriv, which becomes the program and keeps the pid.
const alive = new Set<{ kill(signal: NodeJS.Signals): boolean }>();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

let setprivWorks: boolean | undefined;

function boundToParent(command: string, args: readonly string[]): { command: string; args: string[] } {
  setprivWorks ??=
    process.platform === 'linux' &&
    spawnSync('setpriv', ['--pdeathsig', 'KILL', 'true'], { stdio: 'ignore' }).status === 0;
  return setprivWorks
    ? { command: 'setpriv', args: ['--pdeathsig', 'KILL', '--', command, ...args] }
    : { command, args: [...args] };
}
