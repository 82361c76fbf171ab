import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProcess } from '../processes.ts';
import { ensureServers } from './install.ts';
import { type RunningServer, runningServer } from './running-server.ts';

export interface NatsServerOptions {
  /** Text of a configuration file. The client address, port and JetStream store are set here, over what it says. */
  readonly config?: string;
  /** A free one by default; give the port of a stopped server to start it again at the same address. */
  readonly port?: number;
  /** A new temporary folder by default, deleted by `stop()`; a folder given here is kept. */
  readonly storeDir?: string;
  readonly extraArgs?: readonly string[];
}

/**
 * Starts a nats-server with JetStream on loopback and resolves when it says that it is ready; `url` is `nats://…`.
 * Rejects with the end of its log when it exits early. Installs it first where it is missing (minutes, once).
 */
export async function startNatsServer(options: NatsServerOptions = {}): Promise<RunningServer> {
  const { 'nats-server': program } = await ensureServers(['nats-server']);
  const folder = mkdtempSync(join(tmpdir(), 'discedge-nats-'));
  const deleteFolder = () => rmSync(folder, { recursive: true, force: true });
  const configFile = join(folder, 'nats-server.conf');
  writeFileSync(configFile, options.config ?? '');

  const server = await startProcess({
    name: 'nats-server',
    command: program.command,
    args: [
      ...program.argsPrefix,
      ...['--config', configFile],
      // Port -1: the kernel picks a free one and the server says which, so no other test can take it in between.
      ...['--addr', '127.0.0.1', '--port', String(options.port ?? -1)],
      ...['--jetstream', '--store_dir', options.storeDir ?? join(folder, 'jetstream')],
      ...(options.extraArgs ?? []),
    ],
    env: program.env,
  });
  try {
    const listening = await server.waitForLine(/Listening for client connections on (127\.0\.0\.1:\d+)/);
    await server.waitForLine(/Server is ready/);
    const running = runningServer(server, `nats://${listening[1]}`);
    return { ...running, stop: () => running.stop().finally(deleteFolder) };
  } catch (error) {
    await server.stop();
    deleteFolder();
    throw error;
  }
}
