import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import type { Clock } from 'discedge/internal/environment/environment';

export interface LlamaServerOptions {
  /** Name on the PATH, or path. */
  readonly program: string;
  readonly modelPath: string;
  /** Of each slot. */
  readonly contextTokens: number;
  readonly slots: number;
  readonly threads: number;
  /** Whether prefixes that lose their slot are kept in memory, as llama-server does by default. */
  readonly keepsEvicted: boolean;
  /** What a command line begins with to run where it is to run. */
  readonly enter: readonly string[];
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
}

export interface OwnLlamaServer {
  readonly port: number;
  close(): Promise<void>;
}

/** A large model from a cold disk takes its time. */
const READY_WAIT_MS = 300_000;
const READY_POLL_MS = 50;
const STOP_WAIT_MS = 10_000;
/** Of its log, for the message when it does not start. */
const LOG_LINES_MAX = 12;

/**
 * Starts a stock llama-server on all addresses of a free port and waits until it is ready. Throws `experiment_unavailable`
 * with the end of its log.
 */
export async function startOwnLlamaServer(options: LlamaServerOptions): Promise<OwnLlamaServer> {
  const [command = '', ...args] = [...lifeline(), ...options.enter, options.program, ...argsFor(options)];
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const close = () => stop(child, options.clock);
  try {
    const port = await listening(child, options);
    return { port, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** "0.7.0", or whatever its first line says. Throws `experiment_unavailable` when there is none. */
export async function llamaServerVersion(program: string): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(program, ['--version']).catch((cause: Error) => {
    const advice = 'name it with --llama-server, or leave --llm-service llama-server out';
    throw new DiscedgeError('experiment_unavailable', `${program} cannot be run (${reasonOf(cause)}); ${advice}`, {
      cause,
    });
  });
  return /version: *(\S+(?: \(\w+\))?)/.exec(stdout + stderr)?.[1] ?? 'unknown';
}

/** What a command line begins with so that its life ends with this process's, however this ends; nothing where that is not to be had. */
function lifeline(): readonly string[] {
  if (process.platform !== 'linux') return [];
  return spawnSync('setpriv', [...BOUND, 'true']).status === 0 ? ['setpriv', ...BOUND] : [];
}

const BOUND = ['--pdeathsig', 'KILL', '--'];

function argsFor({ modelPath, contextTokens, slots, threads, keepsEvicted }: LlamaServerOptions): string[] {
  return [
    ...['--model', modelPath, '--host', '0.0.0.0', '--port', '0'],
    // llama-server divides its context between its slots.
    ...['--ctx-size', String(contextTokens * slots), '--parallel', String(slots)],
    // At borders of batches other slots get their share; the embedded service takes pieces of this size, too.
    ...['--batch-size', '256', '--ubatch-size', '256', '--threads', String(threads)],
    ...(keepsEvicted ? [] : ['--cache-ram', '0']),
    ...['--no-webui', '--offline'],
  ];
}

function listening(child: ChildProcess, { program, clock, signal }: LlamaServerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const log: string[] = [];
    let found = false;
    const settle = (act: () => void) => {
      cancel();
      signal?.removeEventListener('abort', abort);
      act();
    };
    const fail = (why: string) => {
      const message = [`${program} ${why}`, ...log].join('\n');
      settle(() => reject(new DiscedgeError('experiment_unavailable', message)));
    };
    const abort = () => settle(() => reject(signal?.reason));
    const cancel = clock.after(READY_WAIT_MS, () => fail(`was not ready within ${READY_WAIT_MS / 1000} s`));
    signal?.addEventListener('abort', abort, { once: true });
    child.once('error', (error) => fail(`cannot be run: ${reasonOf(error)}`));
    child.once('exit', (code) => fail(`ended with status ${code}`));
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        if (log.push(line) > LOG_LINES_MAX) log.shift();
        const port = /listening on https?:\/\/[^\s]+:(\d+)/.exec(line)?.[1];
        if (port === undefined || found) return;
        found = true;
        settle(() => resolve(Number(port)));
      });
    }
    if (signal?.aborted) abort();
  });
}

/** Waits until its model is loaded, at the address under which it is used. Throws `experiment_unavailable`. */
export async function untilHealthy(url: string, clock: Clock, signal: AbortSignal | undefined): Promise<void> {
  const deadlineMs = clock.monotonic() + READY_WAIT_MS;
  for (;;) {
    const healthy = await fetch(`${url}/health`, signal === undefined ? {} : { signal }).then(
      ({ ok }) => ok,
      () => false,
    );
    if (healthy) return;
    signal?.throwIfAborted();
    if (clock.monotonic() > deadlineMs) {
      throw new DiscedgeError('experiment_unavailable', `the llama-server at ${url} did not become ready`);
    }
    await new Promise<void>((resolve) => clock.after(READY_POLL_MS, resolve));
  }
}

async function stop(child: ChildProcess, clock: Clock): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const kill = clock.after(STOP_WAIT_MS, () => child.kill('SIGKILL'));
  await exited;
  kill();
}

function reasonOf(error: Error): string {
  return String((error as NodeJS.ErrnoException).code ?? error.message);
}
