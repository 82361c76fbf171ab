import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DiscedgeError } from '../../domain/errors.ts';
import type { Counter, Environment } from '../../environment/environment.ts';
import { endLeftOverServers } from './left-over-servers.ts';
import { findNatsServer } from './nats-server-program.ts';
import { LaunchFailed, launchServer, type ServerLaunch } from './server-launch.ts';
import { serverWarnings } from './server-warnings.ts';
import { writeWhole } from './whole-file.ts';

export interface SupervisedServerOptions {
  /** Path, or name on PATH. */
  readonly program: string;
  /** Configuration text, as `natsServerConfig` makes it. */
  readonly config: string;
  /** Where the configuration file goes. The caller holds it for itself alone. */
  readonly folder: string;
  /** The configuration's JetStream folder. Emptied when the server cannot start with what is in it. */
  readonly storeDir: string;
}

/** A nats-server that runs for as long as this node does, and is started again whenever it ends. */
export interface NatsServerProcess {
  /** Stays the same through restarts, also where the configuration leaves the port open. */
  readonly url: string;
  readonly port: number;
  /** `undefined` while it is down. */
  readonly pid: number | undefined;
  /**
   * Gives the running server another configuration; connections stay. Certificate files are read anew. Throws
   * `config_invalid` when the server refuses it, and then the former one stays in force; `nats_unavailable` when it hangs.
   * While the server is down the new one is kept for its next start.
   */
  reload(config: string): Promise<void>;
  /** Resolves when the process is gone. Idempotent. */
  stop(): Promise<void>;
}

const RESTART_DELAY_FIRST_MS = 100;
/** Peers find a server again that soon after its machine has come to its senses; asking more often would help nobody. */
const RESTART_DELAY_MAX_MS = 10_000;
/** A server that lived so long has not failed because of how it was started. */
const CALM_MS = 30_000;
/** A reload reads a file and looks at each connection. */
const RELOAD_WAIT_MS = 10_000;
/** It tells who may do what. */
const CONFIG_MODE = 0o600;

/**
 * Starts a nats-server and resolves when it is ready. One that an earlier process of this node left behind is ended
 * first. JetStream data that the server cannot start with is thrown away: LMDB has it all. Throws `nats_unavailable`,
 * `config_invalid` or `port_in_use` when the first start fails; later ones are tried for ever, at most 10 s apart.
 */
export async function superviseNatsServer(
  options: SupervisedServerOptions,
  environment: Environment,
): Promise<NatsServerProcess> {
  const { path } = await findNatsServer(options.program);
  const server = new Supervisor({ ...options, program: path }, environment);
  await server.start();
  return server;
}

class Supervisor implements NatsServerProcess {
  readonly #options: SupervisedServerOptions;
  readonly #environment: Environment;
  readonly #configFile: string;
  readonly #onLine: (line: string) => void;
  readonly #restarts: Counter;
  #config: string;
  #launch: ServerLaunch | undefined;
  #address: { readonly host: string; readonly port: number } | undefined;
  #restartDelayMs = RESTART_DELAY_FIRST_MS;
  #cancelRestart = () => {};
  #stopping = false;
  #reloads: Promise<void> = Promise.resolve();

  constructor(options: SupervisedServerOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    // Absolute: it is what the process is known by.
    this.#configFile = resolve(options.folder, 'nats-server.conf');
    this.#config = options.config;
    this.#onLine = serverWarnings(environment);
    this.#restarts = environment.metrics.counter({
      name: 'discedge_nats_server_restarts_total',
      help: 'Times the supervised nats-server ended and had to be started again.',
    });
  }

  get url(): string {
    return `nats://${this.#clientHost}:${this.port}`;
  }

  get port(): number {
    return this.#address?.port ?? 0;
  }

  get pid(): number | undefined {
    return this.#launch?.pid;
  }

  async start(): Promise<void> {
    try {
      await mkdir(this.#options.folder, { recursive: true, mode: 0o700 });
      await writeWhole(this.#configFile, this.#config, CONFIG_MODE);
    } catch (cause) {
      throw new DiscedgeError('data_dir_unusable', `nats-server's configuration cannot be written: ${text(cause)}`, {
        cause,
      });
    }
    await endLeftOverServers(this.#configFile, this.#environment);
    await this.#run();
  }

  reload(config: string): Promise<void> {
    const reload = this.#reloads.then(() => this.#reload(config));
    this.#reloads = reload.catch(() => {});
    return reload;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#cancelRestart();
    await this.#launch?.stop();
  }

  /** One start, and a second one with an empty JetStream folder where that was the trouble. */
  async #run(): Promise<void> {
    try {
      await this.#runOnce();
    } catch (error) {
      if (!(error instanceof LaunchFailed)) throw error;
      if (this.#stopping || !error.lines.some((line) => /Can't start JetStream/.test(line))) throw startError(error);
      this.#environment.log.warn('nats_store_thrown_away', {}, error);
      await rm(this.#options.storeDir, { recursive: true, force: true });
      await this.#runOnce().catch((again) => {
        throw again instanceof LaunchFailed ? startError(again) : again;
      });
    }
  }

  async #runOnce(): Promise<void> {
    if (this.#stopping) throw new LaunchFailed('nats-server is not started: the node is stopping', []);
    const { clock } = this.#environment;
    // A port that the kernel chose is kept: clients and peers know it by now.
    const port = this.#address === undefined ? [] : ['--port', String(this.port)];
    const args = ['--config', this.#configFile, ...port];
    const launch = launchServer({ path: this.#options.program, args, onLine: this.#onLine }, clock);
    this.#launch = launch;
    try {
      this.#address = await launch.ready;
    } catch (error) {
      this.#launch = undefined;
      throw error;
    }
    const readyMs = clock.monotonic();
    void launch.ended.then((how) => {
      this.#launch = undefined;
      if (this.#stopping) return;
      if (clock.monotonic() - readyMs >= CALM_MS) this.#restartDelayMs = RESTART_DELAY_FIRST_MS;
      this.#environment.log.error('nats_server_ended', { how, restartInMs: this.#restartDelayMs });
      this.#restartLater();
    });
  }

  #restartLater(): void {
    const delayMs = this.#restartDelayMs;
    this.#restartDelayMs = Math.min(delayMs * 2, RESTART_DELAY_MAX_MS);
    this.#cancelRestart = this.#environment.clock.after(delayMs, () => {
      this.#restarts.add(1);
      this.#run().catch((error) => {
        if (this.#stopping) return;
        this.#environment.log.error('nats_server_start_failed', { retryInMs: this.#restartDelayMs }, error);
        this.#restartLater();
      });
    });
  }

  async #reload(config: string): Promise<void> {
    await this.#refuseInvalid(config);
    const former = this.#config;
    await this.#useConfig(config);
    const launch = this.#launch;
    // A hang-up signal before it is ready would end it. One that is starting may have read the former file.
    const isReady = await launch?.ready.then(
      () => true,
      () => false,
    );
    if (launch === undefined || !isReady) return;
    const answer = launch.nextLine(
      /Reloaded server configuration|Failed to reload server configuration: (.*)/,
      RELOAD_WAIT_MS,
    );
    launch.signal('SIGHUP');
    const match = await answer;
    if (match === undefined && this.#launch === launch) {
      throw new DiscedgeError('nats_unavailable', 'nats-server does not answer a request to reload its configuration');
    }
    if (match?.[1] === undefined) return;
    await this.#useConfig(former);
    throw new DiscedgeError('config_invalid', `nats-server does not take its new configuration: ${match[1]}`);
  }

  async #useConfig(config: string): Promise<void> {
    await writeWhole(this.#configFile, config, CONFIG_MODE);
    this.#config = config;
  }

  /** The server checks it without being touched: a reload that fails half-way would be found out at the next restart. */
  async #refuseInvalid(config: string): Promise<void> {
    const candidate = join(this.#options.folder, 'nats-server.candidate.conf');
    await writeWhole(candidate, config, CONFIG_MODE);
    await new Promise<void>((accept, refuse) => {
      execFile(this.#options.program, ['-t', '-c', candidate], { timeout: RELOAD_WAIT_MS }, (error, _, stderr) =>
        error === null ? accept() : refuse(refusedConfig(stderr)),
      );
    }).finally(() => rm(candidate, { force: true }));
  }

  get #clientHost(): string {
    const host = this.#address?.host ?? '127.0.0.1';
    // Listening on all addresses: this machine's own is the nearest.
    if (host === '0.0.0.0') return '127.0.0.1';
    return host === '[::]' ? '[::1]' : host;
  }
}

/** What a user can do about a start that failed, from what the server said. */
function startError(failure: LaunchFailed): DiscedgeError {
  const inUse = failure.lines.find((line) => /address already in use/.test(line));
  if (inUse !== undefined) {
    const address = /port: ([^,\s]+)/.exec(inUse)?.[1] ?? '';
    return new DiscedgeError('port_in_use', `nats-server cannot listen at ${address}: another process does`, {
      cause: failure,
    });
  }
  if (failure.lines.some((line) => line.startsWith('nats-server: '))) return refusedConfig(failure.lines.join('\n'));
  const last = failure.lines.at(-1)?.replace(/^\[\d+\] [\d/]+ [\d:.]+ /, '') ?? 'it said nothing';
  return new DiscedgeError('nats_unavailable', `${failure.message}: ${last}`, { cause: failure });
}

function refusedConfig(output: string): DiscedgeError {
  const reason = /^nats-server: (.*)/m.exec(output)?.[1] ?? 'it does not say why';
  return new DiscedgeError('config_invalid', `nats-server does not take its configuration: ${reason}`);
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
