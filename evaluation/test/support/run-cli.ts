import { type ChildProcess, spawn } from 'node:child_process';
import { CLI_PATH } from '../../../tools/node-process.ts';

export interface CliRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCli {
  readonly child: ChildProcess;
  /** Resolves when it has ended, with what it printed. */
  readonly done: Promise<CliRun>;
  /** Ctrl-C, as a terminal sends it: to the process and to those that it started and that are still of its group. */
  interrupt(): void;
  /** Resolves when stderr has this, now or later; rejects when the process ends without it. */
  sees(pattern: RegExp): Promise<void>;
}

/** Starts the built command line, without a terminal and with nothing on stdin. */
export function startCli(
  args: readonly string[],
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
): RunningCli {
  const env = { ...process.env, ...options.env };
  const child = spawn(process.execPath, [CLI_PATH, ...args], {
    cwd: options.cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let stdout = '';
  let stderr = '';
  const listeners = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    for (const listener of listeners) listener();
  });
  const done = new Promise<CliRun>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
  return {
    child,
    done,
    interrupt: () => process.kill(-(child.pid as number), 'SIGINT'),
    sees: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => pattern.test(stderr) && resolve();
        listeners.add(look);
        look();
        done.then(() => reject(new Error(`ended without ${pattern}: ${stderr}`)), reject);
      }),
  };
}

/** Runs the built command line to its end. */
export function runCli(...args: Parameters<typeof startCli>): Promise<CliRun> {
  return startCli(...args).done;
}
