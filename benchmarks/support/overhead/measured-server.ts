import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface ServerOptions {
  /** `undefined`: no node, but the bare HTTP server, or with `llm` a bare relay. `durable`: the store that a node has unless told otherwise. */
  readonly store: 'memory' | 'durable' | undefined;
  /** Address of the LLM; `undefined`: one in the process, which costs nothing. */
  readonly llm?: string;
  readonly dataDir: string;
  /** Of the node, beside those that all have here. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

/** As the operating system has it (getrusage), all threads together. */
export interface Usage {
  readonly cpuMs: number;
  /** Handed to the disk. */
  readonly writtenBytes: number;
}

/** A server in a process of its own, and what it has used. */
export class MeasuredServer {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #dataDir: string;

  private constructor(child: ChildProcess, port: number, dataDir: string) {
    this.#child = child;
    this.port = port;
    this.#dataDir = dataDir;
  }

  static async start(options: ServerOptions): Promise<MeasuredServer> {
    const program = fileURLToPath(new URL('server.ts', import.meta.url));
    const child = fork(program, [JSON.stringify(options)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    return new MeasuredServer(child, port, options.dataDir);
  }

  async usage(): Promise<Usage> {
    this.#child.send('usage');
    const [usage] = (await once(this.#child, 'message')) as [Usage];
    return usage;
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
    rmSync(this.#dataDir, { recursive: true, force: true });
  }
}
