import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Commands, ReplicationNodeOptions } from './replication-node.ts';

const PROGRAM = fileURLToPath(new URL('replication-node.ts', import.meta.url));

/** A store and its nats-server in a process of their own; ends with this one at the latest. */
export class ReplicationNodeHandle {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>();
  #asked = 0;

  /** `enter` is what the command line begins with. */
  constructor(options: ReplicationNodeOptions, enter: readonly string[] = []) {
    const [command = '', ...words] = [
      ...enter,
      process.execPath,
      ...process.execArgv,
      PROGRAM,
      JSON.stringify(options),
    ];
    this.#child = spawn(command, words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child.on('message', ({ id, result, error }: { id: number; result: never; error?: string }) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
    });
    this.#child.on('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`node ${options.nodeId} has ended`));
    });
  }

  ask<Name extends keyof Commands>(
    name: Name,
    ...args: Parameters<Commands[Name]>
  ): Promise<ReturnType<Commands[Name]>> {
    const id = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, name, args });
    });
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.disconnect();
    await once(this.#child, 'exit');
  }
}
