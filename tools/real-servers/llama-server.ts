import { startProcess } from '../processes.ts';
import { ensureServers } from './install.ts';
import { type RunningServer, runningServer } from './running-server.ts';

/** A small model loads in milliseconds; a large one from a cold disk does not. */
const READY_WAIT_MS = 120_000;

export interface LlamaServerOptions {
  readonly modelPath: string;
  /** Context window of each slot, in ids. */
  readonly contextTokens: number;
  readonly slots: number;
  /** A free one by default; give the port of a stopped server to start it again at the same address. */
  readonly port?: number;
  /** Appended last, so they win over the defaults. */
  readonly extraArgs?: readonly string[];
}

/**
 * Starts a stock llama-server on loopback and resolves when `/health` says it is ready.
 * Rejects with the end of its log when it exits early. Installs it first where it is missing (minutes, once).
 */
export async function startLlamaServer(options: LlamaServerOptions): Promise<RunningServer> {
  const { 'llama-server': program } = await ensureServers(['llama-server']);
  const server = await startProcess({
    name: 'llama-server',
    command: program.command,
    args: [...program.argsPrefix, ...argsFor(options)],
    env: { ...withoutLlamaSettings(), ...program.env },
  });
  try {
    const listening = await server.waitForLine(/listening on (http:\/\/[\d.]+:\d+)/, { waitMs: READY_WAIT_MS });
    const url = listening[1] as string;
    await server.waitForHttp(`${url}/health`, { waitMs: READY_WAIT_MS });
    return runningServer(server, url);
  } catch (error) {
    await server.stop();
    throw error;
  }
}

function argsFor({ modelPath, contextTokens, slots, port = 0, extraArgs = [] }: LlamaServerOptions): string[] {
  return [
    ...['--model', modelPath],
    // Port 0: the kernel picks a free one and the server says which, so no other test can take it in between.
    ...['--host', '127.0.0.1', '--port', String(port)],
    // llama-server divides its context between its slots.
    ...['--ctx-size', String(contextTokens * slots), '--parallel', String(slots)],
    // Small batches: a disconnect takes effect, and other slots go on, at batch borders only.
    ...['--batch-size', '256', '--ubatch-size', '256'],
    // More threads than free cores collapse its speed, and tests run beside each other.
    ...['--threads', '1'],
    '--no-webui',
    '--offline',
    ...extraArgs,
  ];
}

/** A developer's LLAMA_ARG_* settings would change what the tests see. */
function withoutLlamaSettings(): NodeJS.ProcessEnv {
  const settings = Object.keys(process.env).filter((name) => /^LLAMA_(ARG_|API_KEY$|LOG_)/.test(name));
  return Object.fromEntries(settings.map((name) => [name, undefined]));
}
