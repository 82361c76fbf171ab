import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { CallCounts } from './reply-server.ts';

export interface InstantLlm {
  /** Speaks as a llama-server with the demo model does, and OpenAI's chat completions and responses as well. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  counts(): Promise<CallCounts>;
  stop(): Promise<void>;
}

export interface InstantLlmOptions {
  /** Ids of every reply, the end token included; 32 by default. A stream has an event for each. */
  readonly replyTokens?: number;
  /** How long a reply takes, in milliseconds; none if left out. */
  readonly replyMs?: number;
  /** Replies at once, as `/props` tells it; 16 by default. */
  readonly slots?: number;
  /** Whether `/props` names the model file, as llama-server does; false: what only the server can tokenize. */
  readonly tellsModelFile?: boolean;
}

/**
 * An LLM that costs next to nothing, in a process of its own behind HTTP: any prompt gets the same reply at once. What a
 * turn in front of it takes is what the thing in front of it takes. Ends with this process.
 */
export async function startInstantLlm(options: InstantLlmOptions = {}): Promise<InstantLlm> {
  const program = fileURLToPath(new URL('program.ts', import.meta.url));
  const child = fork(program, [JSON.stringify(options)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    pid: child.pid as number,
    counts: () => asked(child),
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

async function asked(child: ChildProcess): Promise<CallCounts> {
  child.send('counts');
  const [counts] = (await once(child, 'message')) as [CallCounts];
  return counts;
}
