import { execFileSync } from 'node:child_process';
import { appendFileSync, closeSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { serversOf } from '../../src/context-store/nats/server/left-over-servers.ts';
import { CLI_PATH } from '../node-process.ts';
import { type RunningProcess, startProcess } from '../processes.ts';
import { type Json, NodeUnderTest } from '../test-node.ts';
import { ClockFile } from './clock-file.ts';

export interface NodeOptions {
  readonly id: string;
  readonly cluster: string;
  /** Its data folder is below it, and nothing else's. */
  readonly folder: string;
  readonly apiAddress: string;
  readonly natsAddress: string;
  /** `ID=HOST:PORT` of the others. */
  readonly peers: readonly string[];
  readonly natsProgram: string;
  readonly certsDir: string | undefined;
  /** Puts a command line into the node's own network. */
  readonly enter: (words: readonly string[]) => string[];
  /** A library that skews the time of day; `undefined` where there is none. */
  readonly clockLibrary: string | undefined;
  /** Size of a disk of its own; `undefined` where that cannot be made. */
  readonly diskBytes: number | undefined;
  readonly logFile: string;
}

/** A node under load starts its server, reads its store and compiles its template first. */
const START_WAIT_MS = 60_000;
/** Orchestrators commonly kill after that. */
const STOP_GRACE_MS = 15_000;
const ANSWER_WAIT_MS = 3_000;
const NATS_BYTES_MAX = '16MiB';

/** An edge node with its nats-server as a user starts them, and everything that can befall them. */
export class ClusterNode extends NodeUnderTest {
  readonly id: string;
  readonly #options: NodeOptions;
  readonly #dataDir: string;
  readonly #foreignFile: string;
  readonly #clock: ClockFile;
  #process: RunningProcess | undefined;
  #isStopped = false;

  constructor(options: NodeOptions) {
    super(`http://${options.apiAddress}`);
    this.id = options.id;
    this.#options = options;
    this.#dataDir = join(options.folder, 'data');
    this.#foreignFile = join(options.folder, 'foreign');
    mkdirSync(options.folder, { recursive: true });
    if (options.diskBytes !== undefined) {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${options.diskBytes}`, 'tmpfs', options.folder]);
    }
    this.#clock = new ClockFile(`${options.folder}.clock`);
  }

  /** Of its nats-server, as peers reach it. */
  get natsUrl(): string {
    return `nats://${this.#options.natsAddress}`;
  }

  get dataDir(): string {
    return this.#dataDir;
  }

  get isRunning(): boolean {
    return this.#process !== undefined && !this.#process.hasExited;
  }

  /** `morePeers`: `ID=HOST:PORT` of nodes beside those that it was made with. */
  async start(morePeers: readonly string[] = []): Promise<void> {
    const { id, apiAddress, natsAddress, peers, natsProgram, certsDir, clockLibrary, cluster } = this.#options;
    const [command = '', ...args] = this.#options.enter([
      process.execPath,
      CLI_PATH,
      'serve',
      ...['--node-id', id, '--listen', apiAddress, '--data-dir', this.#dataDir, '--llm', 'scripted'],
      '--serve-anyone',
      ...[
        '--store',
        'nats',
        '--cluster',
        cluster,
        '--nats-listen',
        natsAddress,
        '--peers',
        [...peers, ...morePeers].join(','),
      ],
      ...['--nats-program', natsProgram, '--nats-bytes-max', NATS_BYTES_MAX],
      ...(certsDir === undefined ? [] : ['--certs-dir', certsDir]),
    ]);
    const env = clockLibrary === undefined ? {} : { LD_PRELOAD: clockLibrary, SKEWED_CLOCK: this.#clock.path };
    this.#process = await startProcess({ name: id, command, args, env });
    const { exited, log } = this.#process;
    void exited.then(({ code, signal }) =>
      appendFileSync(this.#options.logFile, `${log()}\n-- ${id} ended with ${signal ?? code}\n`),
    );
    await this.#process.waitForLine(/^ *API +http:/, { waitMs: START_WAIT_MS });
  }

  /** As an operator does it. */
  async stop(): Promise<void> {
    await this.#process?.stop({ graceMs: STOP_GRACE_MS });
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#process?.kill('SIGKILL');
    await this.#process?.exited;
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#isStopped = signal === 'SIGSTOP';
    this.#process?.kill(signal);
  }

  async signalServer(signal: NodeJS.Signals): Promise<void> {
    for (const pid of await this.#serverPids()) {
      try {
        process.kill(pid, signal);
      } catch (error) {
        // It has ended since the look.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
  }

  async hasServer(): Promise<boolean> {
    return (await this.#serverPids()).length > 0;
  }

  wipeJetStream(): void {
    rmSync(join(this.#dataDir, 'nats', 'jetstream'), { recursive: true, force: true });
  }

  wipe(): void {
    rmSync(this.#dataDir, { recursive: true, force: true });
  }

  /** Leaves nothing free on its disk, whatever the node does. */
  fillDisk(): void {
    const file = openSync(this.#foreignFile, 'a');
    try {
      const { bavail, bsize } = statfsSync(this.#options.folder);
      for (let rest = bavail * bsize; rest > 0; ) {
        const bytes = Math.min(rest, 1024 * 1024);
        rest -= writeSync(file, Buffer.alloc(bytes));
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(file);
    }
  }

  freeDisk(): void {
    rmSync(this.#foreignFile, { force: true });
  }

  /** From now on the node takes it to be that much later. */
  skewClock(aheadMs: number): void {
    this.#clock.set(aheadMs);
  }

  /** Undoes everything that lasts; the node may have to be started after it. */
  async restore(): Promise<void> {
    this.freeDisk();
    this.skewClock(0);
    await this.signalServer('SIGCONT');
    if (this.#isStopped) this.signal('SIGCONT');
  }

  /** An answer of the HTTP API, or `undefined` when there is none in time. */
  async ask(path: string): Promise<{ readonly status: number; readonly body: Json } | undefined> {
    try {
      return await this.request('GET', path, { signal: AbortSignal.timeout(ANSWER_WAIT_MS) });
    } catch {
      return undefined;
    }
  }

  log(): string {
    return this.#process?.log() ?? '';
  }

  #serverPids(): Promise<number[]> {
    return serversOf(join(this.#dataDir, 'nats', 'nats-server.conf'));
  }
}
