// Tries to lose a supervised nats-server or to be left with one too many: kill -9 of the server and of the node above
// it, a port that is taken, broken JetStream data, configurations it cannot take at start and while it runs, programs
// that are no nats-server. Real servers, current and old.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect as connectSocket, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fromPs, serversOf } from '../../src/context-store/nats/server/left-over-servers.ts';
import type { NatsServerProcess } from '../../src/context-store/nats/server/nats-server-process.ts';
import { natsServerConfig } from '../../src/context-store/nats/server/server-config.ts';
import { parseNodeId } from '../../src/domain/identifiers.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startProcess } from '../../tools/processes.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { connectAs, supervise, watchedEnvironment } from '../../tools/supervised-nats.ts';

const SUPERVISING_PROCESS = fileURLToPath(new URL('../support/supervising-process.ts', import.meta.url));

describe.each(await natsPrograms())('a supervised $name', ({ path: program }) => {
  let folder: string;
  let removeFolder: () => void;
  let environment: ReturnType<typeof watchedEnvironment>;
  const started: NatsServerProcess[] = [];

  beforeEach(() => {
    const made = temporaryFolder();
    folder = join(made.path, 'nats');
    removeFolder = made.remove;
    environment = watchedEnvironment();
  });
  afterEach(async () => {
    for (const server of started.splice(0)) await server.stop();
    expect(await serversOf(configFile())).toEqual([]);
    removeFolder();
  });

  const configFile = () => join(folder, 'nats-server.conf');
  const storeDir = () => join(folder, 'jetstream');
  const configWith = ({ port = 0 } = {}) =>
    natsServerConfig({
      nodeId: parseNodeId('e1'),
      listen: { host: '127.0.0.1', port },
      storeDir: storeDir(),
      maxFileBytes: 1e8,
      peers: [],
    });

  async function start(config = configWith()): Promise<NatsServerProcess> {
    const server = await supervise({ program, folder, config: () => config }, environment);
    started.push(server);
    return server;
  }
  const connectTo = (server: NatsServerProcess) => connectAs({ url: server.url, nodeId: 'e1' });
  const events = () => environment.logLines.map(({ event }) => event);

  it('says where it listens when it took any free port, and keeps its configuration to its owner', async () => {
    const server = await start();
    expect(server.port).toBeGreaterThan(0);
    const connection = await connectTo(server);
    expect(connection.info).toMatchObject({ server_name: 'e1', port: server.port, jetstream: true });
    await connection.close();
    expect(statSync(configFile()).mode & 0o777).toBe(0o600);
    expect(await serversOf(configFile())).toEqual([server.pid]);
  });

  it('does not hear the Ctrl-C that goes to the node', async () => {
    const server = await start();
    const group = execFileSync('ps', ['-o', 'pgid=', '-p', String(server.pid)], { encoding: 'utf8' });
    expect(Number(group)).toBe(server.pid);
  });

  it('is back at the same address with its data after kill -9', async () => {
    const server = await start();
    const connection = await connectTo(server);
    await (await jetstreamManager(connection)).streams.add({ name: 's', subjects: ['s'] });
    await jetstream(connection).publish('s', 'kept');
    const { url, pid } = server;

    const back = nextStatus(connection, 'reconnect');
    process.kill(pid as number, 'SIGKILL');
    await back;
    expect(server.url).toBe(url);
    expect(server.pid).not.toBe(pid);
    const { state } = await (await jetstreamManager(connection)).streams.info('s');
    expect(state.messages).toBe(1);
    await connection.close();
    expect(environment.logLines).toEqual([
      expect.objectContaining({ event: 'nats_server_ended', fields: { how: 'SIGKILL', restartInMs: 100 } }),
    ]);
    expect(await environment.metric('discedge_nats_server_restarts_total')).toBe(1);
  });

  it('is gone when stop resolves, and stays so', async () => {
    const server = await start();
    const { port } = server;
    await Promise.all([server.stop(), server.stop()]);
    await server.stop();
    expect(server.pid).toBeUndefined();
    expect(await isListening(port)).toBe(false);
    expect(events()).toEqual([]);
  });

  it('says that its port is taken, and by which address', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as AddressInfo;
    await expect(start(configWith({ port }))).rejects.toMatchObject({
      code: 'port_in_use',
      message: expect.stringMatching(new RegExp(`cannot listen at 127.0.0.1:${port}: .*--nats-listen`)),
    });
    other.close();
  });

  it.each([
    ['unknown words', 'listn: 4222\n', /unknown field "listn"/],
    ['what is no configuration', 'listen: {{{', /Parse error/],
    ['certificates that are not there', 'tls { cert_file: "/no/a", key_file: "/no/b" }\n', /\/no\/a/],
  ])('refuses %s at once, and is not tried again', async (_, config, reason) => {
    const attempt = start(config);
    await expect(attempt).rejects.toMatchObject({ code: 'config_invalid' });
    await expect(attempt).rejects.toThrow(reason);
    expect(events()).toEqual([]);
  });

  it('keeps the former configuration when it is given a bad one, also through a restart', async () => {
    const server = await start();
    const connection = await connectTo(server);
    for (const bad of ['listn: 4222\n', 'tls { cert_file: "/no/a", key_file: "/no/b" }\n']) {
      await expect(server.reload(bad)).rejects.toMatchObject({ code: 'config_invalid' });
      await expect(server.restart(bad)).rejects.toMatchObject({ code: 'config_invalid' });
    }
    // What the program would start with but a running server cannot change to.
    const moved = configWith().replace(storeDir(), `${storeDir()}-elsewhere`);
    await expect(server.reload(moved)).rejects.toMatchObject({ code: 'config_invalid' });
    await connection.flush();
    expect(readFileSync(configFile(), 'utf8')).toBe(configWith());
    expect(readdirSync(folder).sort()).toEqual(['jetstream', 'nats-server.conf']);

    const back = nextStatus(connection, 'reconnect');
    process.kill(server.pid as number, 'SIGKILL');
    await back;
    await connection.close();
  });

  it('takes configurations one after the other, however fast they come', async () => {
    const server = await start();
    const connection = await connectTo(server);
    const configs = [3, 4, 5].map((pings) => configWith().replace('ping_max: 2', `ping_max: ${pings}`));
    await Promise.all(configs.map((config) => server.reload(config)));
    expect(readFileSync(configFile(), 'utf8')).toBe(configs[2]);
    await connection.flush();
    await connection.close();
  });

  it('starts with the configuration that it was given while it was down', async () => {
    const server = await start();
    process.kill(server.pid as number, 'SIGKILL');
    const named = configWith().replace('server_name: "e1"', 'server_name: "renamed"');
    await server.restart(named);
    const connection = await connectTo(server);
    expect(connection.info?.server_name).toBe('renamed');
    await connection.close();
  });

  it('starts without its JetStream data when that is not usable at all', async () => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(storeDir(), 'not a folder');
    const server = await start();
    const connection = await connectTo(server);
    await (await jetstreamManager(connection)).streams.add({ name: 's', subjects: ['s'] });
    await connection.close();
    expect(events()).toContain('nats_store_thrown_away');
  });

  it('starts when files of its JetStream data are damaged', async () => {
    const server = await start();
    const connection = await connectTo(server);
    await (await jetstreamManager(connection)).streams.add({ name: 's', subjects: ['s'] });
    for (let n = 0; n < 10; n++) await jetstream(connection).publish('s', `record ${n}`);
    await connection.close();
    await server.stop();
    const files = readdirSync(storeDir(), { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
    expect(files.length).toBeGreaterThan(2);
    for (const file of files) writeFileSync(join(file.parentPath, file.name), 'damaged');

    environment = watchedEnvironment();
    const again = await start();
    const connectionAgain = await connectTo(again);
    const manager = await jetstreamManager(connectionAgain);
    await manager.streams.delete('s').catch(() => {});
    await manager.streams.add({ name: 's', subjects: ['s'] });
    await connectionAgain.close();
  });

  it('ends with the node above it, even one that is killed', async () => {
    const node = await supervisingProcess(program, folder);
    const connection = connectSocket(node.serverPort, '127.0.0.1');
    connection.on('error', () => {}).resume();
    await new Promise((resolve) => connection.once('connect', resolve));
    const closed = new Promise((resolve) => connection.once('close', resolve));
    node.process.kill('SIGKILL');
    await closed;
    await gone(node.serverPid);
  });

  it('takes the place of one that was left over, and of no other', async () => {
    const bystanderConfig = `${configFile()}.other`;
    mkdirSync(folder, { recursive: true });
    writeFileSync(configFile(), configWith());
    writeFileSync(bystanderConfig, 'listen: "127.0.0.1:-1"\n');
    const launch = async (config: string) => {
      const server = await startProcess({ command: program, args: ['--config', config] });
      await server.waitForLine(/Server is ready/);
      return server;
    };
    const leftOver = await launch(configFile());
    const bystander = await launch(bystanderConfig);
    // Stopped, it does not heed a polite signal.
    const stuck = await launch(configFile());
    stuck.kill('SIGSTOP');
    expect((await serversOf(configFile())).sort()).toEqual([leftOver.pid, stuck.pid].sort());
    expect((await fromPs(configFile())).sort()).toEqual([leftOver.pid, stuck.pid].sort());

    // Ten seconds are given to each, by this clock.
    environment = watchedEnvironment(10);
    const server = await start();
    expect(await serversOf(configFile())).toEqual([server.pid]);
    await Promise.all([leftOver.exited, stuck.exited]);
    expect(bystander.hasExited).toBe(false);
    expect(events()).toEqual(['nats_server_left_over', 'nats_server_left_over']);
    await bystander.stop();
  }, 60_000);

  it('tells of trouble by kind, without what was sent', async () => {
    const server = await start(configWith().replace('ping_max', 'max_control_line: 64\nping_max'));
    for (let n = 0; n < 3; n++) {
      await new Promise((resolve) => {
        const socket = connectSocket(server.port, '127.0.0.1')
          .on('close', resolve)
          .on('error', () => {});
        socket.resume().write(`PUB secret-subject-${'x'.repeat(500)}\r\n`);
      });
    }
    expect(environment.logLines.map(({ event, fields, error }) => ({ event, fields, error }))).toEqual([
      { event: 'nats_server_warning', fields: { kind: 'limits', lines: 1 }, error: undefined },
    ]);
  });
});

describe('a program', () => {
  const made = temporaryFolder();
  const attempt = (program: string) =>
    supervise({ program, folder: join(made.path, 'nats'), config: () => 'listen: "127.0.0.1:-1"\n' });
  const script = (name: string, text: string) => {
    const path = join(made.path, name);
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, 0o755);
    return path;
  };
  afterEach(() => {
    expect(existsSync(join(made.path, 'nats'))).toBe(false);
  });

  it('that is missing is refused, with how to get it', async () => {
    for (const program of ['no-such-nats-server', '/no/such/nats-server']) {
      await expect(attempt(program)).rejects.toMatchObject({ code: 'nats_unavailable' });
      await expect(attempt(program)).rejects.toThrow(/is not there; install it .*--store nats:\/\//);
    }
  });

  it('that is older than 2.9 is refused', async () => {
    for (const version of ['v2.8.4', 'v1.99.0', 'v2.0.0-beta.3']) {
      await expect(attempt(script('old', `echo nats-server: ${version}`))).rejects.toThrow(/2\.9 or later is needed/);
    }
  });

  it('that is not a nats-server is refused', async () => {
    const text = /does not tell its version as a nats-server does/;
    await expect(attempt(script('other', 'echo hello 3.1.4'))).rejects.toThrow(text);
    await expect(attempt(script('failing', 'exit 3'))).rejects.toThrow(/--version fails/);
  });
});

/** A node in a process of its own, with the server that it supervises. */
async function supervisingProcess(program: string, folder: string) {
  const node = await startProcess({
    name: 'supervising process',
    command: process.execPath,
    args: ['--import', 'tsx', SUPERVISING_PROCESS, program, folder],
  });
  const [, pid, port] = await node.waitForLine(/^ready (\d+) (\d+)$/);
  return { process: node, serverPid: Number(pid), serverPort: Number(port) };
}

async function nextStatus(connection: Awaited<ReturnType<typeof connectAs>>, type: string): Promise<void> {
  for await (const status of connection.status()) if (status.type === type) return;
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1');
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

/** Its sockets close just before a process is gone, and nobody but its parent is told when it is. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
