import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type RunningProcess, startProcess } from './processes.ts';
import { NO_KEYS, NodeUnderTest } from './test-node.ts';

/** The built command line, as the package's `bin` names it; test/support/global-setup.ts builds it. */
export const CLI_PATH = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

/** An edge node as its own process: what a user starts, and what can be killed. */
export class NodeProcess extends NodeUnderTest {
  readonly process: RunningProcess;

  constructor(url: string, process: RunningProcess) {
    super(url);
    this.process = process;
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.process.exited;
  }
}

/** Runs `discedge serve` on a free port, of another build where `cli` names one, and resolves when it says where it listens. */
export async function startNodeProcess(
  args: readonly string[],
  options: {
    readonly listen?: string;
    readonly cli?: string;
    readonly env?: NodeJS.ProcessEnv;
    readonly onLine?: (line: string) => void;
  } = {},
): Promise<NodeProcess> {
  const process = await startProcess({
    name: 'discedge serve',
    command: globalThis.process.execPath,
    ...(options.env !== undefined && { env: options.env }),
    ...(options.onLine !== undefined && { onLine: options.onLine }),
    args: [
      options.cli ?? CLI_PATH,
      'serve',
      '--listen',
      options.listen ?? '127.0.0.1:0',
      '--node-id',
      'test',
      '--log-level',
      'warn',
      // An earlier build may not know of keys.
      ...(options.cli === undefined ? ['--keys-dir', NO_KEYS] : []),
      ...args,
    ],
  });
  try {
    const [, url] = await process.waitForLine(/^ *API +(http:\/\/127\.0\.0\.1:\d+)/);
    return new NodeProcess(url as string, process);
  } catch (error) {
    await process.stop();
    throw error;
  }
}

export interface TemporaryFolder {
  readonly path: string;
  /** Writes a file in it, and returns its path. */
  file(name: string, text: string): string;
  remove(): void;
}

/** A folder that is gone after the test. */
export function temporaryFolder(): TemporaryFolder {
  const path = mkdtempSync(join(tmpdir(), 'discedge-test-'));
  return {
    path,
    file(name, text) {
      writeFileSync(join(path, name), text);
      return join(path, name);
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}
