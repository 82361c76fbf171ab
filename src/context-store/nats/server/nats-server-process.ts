import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DiscedgeError } from '../../../domain/errors.ts';
import type { Counter, Environment } from '../../../environment/environment.ts';
import { BackOff } from '../../../waiting/back-off.ts';
import { OneAtATime } from '../../../waiting/one-at-a-time.ts';
import { Pause } from '../../../waiting/pause.ts';
import { makeFolder } from '../../make-folder.ts';
import { writeWhole } from '../../whole-file.ts';
import { endLeftOverServers } from './left-over-servers.ts';
import { findNatsServer } from './nats-server-program.ts';
import { LaunchFailed, launchServer, type ServerLaunch } from './server-launch.ts';
import { isStoreTrouble, refusedConfig, startError } from './server-start-error.ts';
import { serverWarnings } from './server-warnings.ts';

export interface SupervisedServerOptions {
  /** Path, or name on PATH. */
  readonly program: string;
  /** Configuration text, as `natsServerConfig` makes it. */
  readonly config: string;
  /** The server's whole environment, from which the configuration may take values; this process's where it is left out. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Where the configuration file goes. The caller holds it for itself alone. */
  readonly folder: string;
  /** The configuration's JetStream folder. Emptied when the server cannot start with what is in it. */
  readonly storeDir: string;
}

/** A nats-server that runs for as long as this node does, and is started again whenever it ends. */
export interface NatsServerProcess {
  /** Where the node itself connects. Stays the same through restarts, also where the configuration leaves the port open. */
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
  /**
   * As `reload`, for a hub: links to it keep the permissions they were made with, so they are cut, and come back within
   * seconds. Throws `config_invalid` before anything is touched, else what `superviseNatsServer` throws when the server
   * does not come back; it is then tried again for ever.
   */
  restart(config: string): Promise<void>;
  /** Resolves when the process is gone. Idempotent. */
  stop(): Promise<void>;
}

const RESTART_DELAY_FIRST_MS = 100;
/** Longest wait between two starts: so soon peers find the server again once its trouble is over. */
const RESTART_DELAY_MAX_MS = 10_000;
/** A server that lived so long has not failed because of how it was started. */
const CALM_MS = 30_000;
/** A reload reads a file and looks at each connection. */
const RELOAD_WAIT_MS = 10_000;
/** The file tells who may do what. */
const CONFIG_MODE = 0o600;

/**
 * Starts a nats-server and resolves when it is ready. One that an earlier process of this node left behind is ended
 * first. JetStream data that the server cannot start with is thrown away: LevelDB has it all. Throws `nats_unavailable`,
 * `config_invalid`, `data_dir_unusable` or `port_in_use` when the first start fails; later ones are tried for ever, at
 * most 10 s apart.
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

/** Somebody who waits for the next start. */
interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
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
  readonly #backOff = new BackOff({ firstMs: RESTART_DELAY_FIRST_MS, maxMs: RESTART_DELAY_MAX_MS });
  #pause: Pause | undefined;
  #restart: Waiting | undefined;
  #stopping = false;
  #running: Promise<void> = Promise.resolve();
  readonly #changes = new OneAtATime();

  constructor(options: SupervisedServerOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    // Absolute: it is what the process is known by.
    this.#configFile = resolve(options.folder, 'nats-server.conf');
    this.#config = options.config;
    this.#onLine = serverWarnings(environment);
    this.#restarts = environment.metrics.counter({
      name: 'discedge_nats_server_restarts_total',
      help: 'Times the supervised nats-server ended and was started again.',
    });
  }

  get url(): string {
    return `nats://${localHost(this.#address?.host ?? '')}:${this.port}`;
  }

  get port(): number {
    return this.#address?.port ?? 0;
  }

  get pid(): number | undefined {
    return this.#launch?.pid;
  }

  async start(): Promise<void> {
    try {
      await makeFolder(this.#options.folder);
      await this.#useConfig(this.#config);
    } catch (cause) {
      const message = `nats-server's configuration cannot be written: ${(cause as Error).message}`;
      throw new DiscedgeError('data_dir_unusable', message, { cause });
    }
    await endLeftOverServers(this.#configFile, this.#environment);
    this.#running = this.#keepRunning(await this.#run());
  }

  reload(config: string): Promise<void> {
    return this.#changes.run(async () => {
      await this.#refuseInvalid(config);
      const former = this.#config;
      await this.#useConfig(config);
      const refusal = await this.#reloadRunning();
      if (refusal === undefined) return;
      await this.#useConfig(former);
      throw refusal;
    });
  }

  restart(config: string): Promise<void> {
    return this.#changes.run(async () => {
      await this.#refuseInvalid(config);
      await this.#useConfig(config);
      if (this.#stopping) return;
      const restarted = new Promise<void>((resolve, reject) => {
        this.#restart = { resolve, reject };
      });
      this.#pause?.end();
      await Promise.all([restarted, this.#launch?.stop()]);
    });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#pause?.end();
    await this.#launch?.stop();
    await this.#running;
  }

  /** The one place that starts a server again, so there are never two. */
  async #keepRunning(first: ServerLaunch): Promise<void> {
    const { clock, logger } = this.#environment;
    let launch: ServerLaunch | undefined = first;
    while (!this.#stopping) {
      if (launch !== undefined) await this.#untilEnded(launch);
      if (this.#restart === undefined && !this.#stopping) {
        this.#pause = new Pause(clock, this.#backOff.next());
        await this.#pause.over;
      }
      if (this.#stopping) break;
      const waiting = this.#restart;
      this.#restart = undefined;
      this.#restarts.add(1);
      try {
        launch = await this.#run();
        waiting?.resolve();
      } catch (error) {
        launch = undefined;
        if (!this.#stopping) logger.error('nats_server_start_failed', { retryInMs: this.#backOff.nextMs }, error);
        waiting?.reject(error);
      }
    }
    this.#restart?.resolve();
  }

  async #untilEnded(launch: ServerLaunch): Promise<void> {
    const { clock, logger } = this.#environment;
    const readyMs = clock.monotonic();
    const how = await launch.ended;
    this.#launch = undefined;
    if (clock.monotonic() - readyMs >= CALM_MS) this.#backOff.reset();
    const wasMeant = this.#stopping || this.#restart !== undefined;
    if (!wasMeant) logger.error('nats_server_ended', { how, restartInMs: this.#backOff.nextMs });
  }

  /** One start, and a second one with an empty JetStream folder where that was the trouble. */
  async #run(): Promise<ServerLaunch> {
    try {
      return await this.#runOnce().catch(async (error) => {
        if (!(error instanceof LaunchFailed) || !isStoreTrouble(error)) throw error;
        this.#environment.logger.warn('nats_store_thrown_away', {}, error);
        await rm(this.#options.storeDir, { recursive: true, force: true });
        return this.#runOnce();
      });
    } catch (error) {
      throw error instanceof LaunchFailed ? startError(error) : error;
    }
  }

  async #runOnce(): Promise<ServerLaunch> {
    if (this.#stopping) throw new LaunchFailed('nats-server is not started: the node is stopping', []);
    // A port that the kernel chose is kept: clients and peers know it by now.
    const port = this.#address === undefined ? [] : ['--port', String(this.port)];
    const args = ['--config', this.#configFile, ...port];
    const { program: path, env } = this.#options;
    const launch = launchServer({ path, args, env, onLine: this.#onLine }, this.#environment.clock);
    this.#launch = launch;
    try {
      this.#address = await launch.ready;
      return launch;
    } catch (error) {
      this.#launch = undefined;
      throw error;
    }
  }

  /** What the running server has against its configuration file; nothing when none runs, the next start reads the file. */
  async #reloadRunning(): Promise<DiscedgeError | undefined> {
    const launch = this.#launch;
    // A hang-up signal before it is ready would end it. One that is starting may have read the former file.
    const isReady = await launch?.ready.then(
      () => true,
      () => false,
    );
    if (launch === undefined || !isReady) return undefined;
    const answer = launch.nextLine(/Reloaded server configuration|Failed to reload server configuration: (.*)/, {
      waitMs: RELOAD_WAIT_MS,
    });
    launch.signal('SIGHUP');
    const match = await answer;
    if (match !== undefined) {
      const [, reason] = match;
      return reason === undefined ? undefined : refusedConfig(`nats-server: ${reason}`);
    }
    if (this.#launch !== launch) return undefined;
    return new DiscedgeError('nats_unavailable', 'nats-server does not answer the request to reload its configuration');
  }

  async #useConfig(config: string): Promise<void> {
    await writeWhole(this.#configFile, config, CONFIG_MODE);
    this.#config = config;
  }

  /** Asks the program, not the running server: what a reload gets wrong is found out only at the next restart. */
  async #refuseInvalid(config: string): Promise<void> {
    const candidate = join(this.#options.folder, 'nats-server.candidate.conf');
    await writeWhole(candidate, config, CONFIG_MODE);
    await new Promise<void>((accept, refuse) => {
      const options = { timeout: RELOAD_WAIT_MS, ...(this.#options.env && { env: this.#options.env }) };
      execFile(this.#options.program, ['-t', '-c', candidate], options, (error, _, stderr) =>
        error === null ? accept() : refuse(refusedConfig(stderr)),
      );
    }).finally(() => rm(candidate, { force: true }));
  }
}

/** Where this machine reaches a server that listens at `host`. */
function localHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '[::]' ? '[::1]' : host;
}
