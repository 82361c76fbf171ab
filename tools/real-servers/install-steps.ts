import { type SpawnOptions, spawn } from 'node:child_process';
import { basename } from 'node:path';

/** A slow mirror needs a few minutes; more than this is a hang, and CI should hear about it. */
export const STEP_WAIT_MS = 600_000;
const STEP_OUTPUT_CHARS_MAX = 4_000;
/** Root's PATH has no sbin folders on some machines, and both debootstrap and nats-server live there. */
export const SEARCH_PATH = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;

/** Up to so many times, until it works; then throws what the last one threw. */
export async function retried(attemptsMax: number, work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= attemptsMax) throw error;
      say(`it failed; trying again (${attempt + 1} of ${attemptsMax})`);
    }
  }
}

/** One slow step: one line when it is done, with the time it took. */
export async function step(
  what: string,
  command: string,
  args: readonly string[],
  { folders = [], env = {} }: { folders?: readonly string[]; env?: Record<string, string> } = {},
): Promise<void> {
  const startedAt = performance.now();
  const seconds = () => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
  try {
    await run(command, [...args, ...folders], { env });
    say(`${what}: ${seconds()}`);
  } catch (error) {
    say(`${what}: failed after ${seconds()}`);
    throw error;
  }
}

/** Resolves with the last that a program wrote; rejects with its last lines where it fails, or runs for too long. */
export function run(
  command: string,
  args: readonly string[],
  { env = {} }: { env?: Record<string, string> } = {},
): Promise<string> {
  const options: SpawnOptions = {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: SEARCH_PATH, DEBIAN_FRONTEND: 'noninteractive', ...env },
    timeout: STEP_WAIT_MS,
  };
  return new Promise((done, fail) => {
    const child = spawn(command, args, options);
    let output = '';
    const keep = (chunk: Buffer) => {
      output = `${output}${chunk}`.slice(-STEP_OUTPUT_CHARS_MAX);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    child.once('error', fail);
    child.once('close', (code, signal) => {
      if (code === 0) return done(output);
      const lastLines = output.trim().split('\n').slice(-5).join('\n');
      fail(new Error(`${basename(command)} ended with ${signal ?? `code ${code}`}:\n${lastLines}`));
    });
  });
}

export function say(what: string): void {
  process.stderr.write(`real servers: ${what}\n`);
}
