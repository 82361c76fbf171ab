import { type ChildProcess, fork, type StdioOptions } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { newClusterKey } from 'discedge/internal/certificates/cluster-key';
import type { ConfigSources } from 'discedge/internal/config/config';
import { nodeIdFromHostName } from 'discedge/internal/config/node-id';
import { DiscedgeError, ERROR_TABLE, type ErrorCode } from 'discedge/internal/domain/errors';
import type { Clock } from 'discedge/internal/environment/environment';
import type { ChildLlm, ChildOrder, ChildReport } from './node-child.ts';

export interface OwnNodesOptions {
  /** What the nodes are to be called; as many are started. */
  readonly names: readonly string[];
  /** Whether they are to share their sessions, which takes a nats-server for each. */
  readonly replicating: boolean;
  /** Settings that all of them get. */
  readonly settings: ConfigSources;
  /** Where each of them is, in the order of their names; default: all on loopback. */
  readonly places?: readonly NodePlace[] | undefined;
  /** What runs in each process: an edge node, or only the replica of one (replica-child.ts). */
  readonly program?: NodeProgram | undefined;
  /** What is to be other than configured about their LLM Services. */
  readonly llm?: ChildLlm | undefined;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

export type NodeProgram = 'edge-node-child' | 'replica-child';

/** A machine of its own for a node, as far as its network goes. */
export interface NodePlace {
  /** Address under which clients and peers reach it. */
  readonly host: string;
  /** What a command line begins with to run there. */
  readonly enter: readonly string[];
  /** Settings of this node alone; one with peers elsewhere needs its certificates. */
  readonly flags: NonNullable<ConfigSources['flags']>;
}

export interface OwnNode {
  readonly url: string;
  /** Port of its nats-server on loopback; `undefined` without replication. */
  readonly peerPort: number | undefined;
}

export interface OwnNodes {
  /** In the order of their names. */
  readonly nodes: readonly OwnNode[];
  /** Stops a node, by its place in that order, and starts it again with the same address and data. */
  restart(index: number): Promise<void>;
  /** Stops them and removes what they stored. Idempotent. */
  close(): Promise<void>;
}

const LOOPBACK = '127.0.0.1';
const NATS_PORT = 4222;
/** Below those that systems hand out by themselves, to whoever asks for any port and to whoever connects. */
const FREE_PORTS = { first: 20_000, count: 12_000 };
/** Nodes on one machine find each other within moments of their start. */
const CONNECT_WAIT_MS = 30_000;
const CONNECT_POLL_MS = 50;
/** A node lets running turns finish for 8 s; what takes longer has hung. */
const STOP_WAIT_MS = 15_000;

/**
 * Starts edge nodes on free loopback ports, each a process with a data folder of its own that goes with it, and waits
 * until all of them are connected. Throws what a node's start throws, and then leaves nothing behind.
 */
export async function startOwnNodes(options: OwnNodesOptions): Promise<OwnNodes> {
  const { names, replicating, places, settings, llm = {}, program = 'edge-node-child' } = options;
  const ids = distinctIds(names);
  const folder = await mkdtemp(join(tmpdir(), 'discedge-scenario-'));
  const hosts = names.map((_, index) => places?.[index]?.host ?? LOOPBACK);
  const peerPorts = replicating ? await peerPortsAt(hosts) : [];
  // Ids of OpenAI's API mean the same at nodes that share a key.
  const clusterKeyFile = join(folder, 'cluster.key');
  const shared = replicating ? { clusterKeyFile } : {};
  const children = new Map<number, ChildProcess>();
  const closeOnce = onlyOnce(async () => {
    await Promise.all([...children.values()].map((child) => stopChild(child, options.clock)));
    await rm(folder, { recursive: true, force: true });
  });
  const start = (index: number, listen: string): Promise<string> => {
    const id = ids[index] as string;
    const place = places?.[index];
    const child = forkAt(place, program);
    children.set(index, child);
    // In network namespaces of this machine, where nobody else is.
    const own = { nodeId: id, dataDir: join(folder, id), listen, serveAnyone: true };
    const flags = {
      ...shared,
      ...settings.flags,
      ...own,
      ...storeOf({ ids, hosts, peerPorts }, index),
      ...place?.flags,
    };
    return startChild(child, { sources: { ...settings, flags }, llm }, options.signal);
  };
  try {
    if (replicating) await writeFile(clusterKeyFile, newClusterKey({ bytes: randomBytes }), { mode: 0o600 });
    const urls = await Promise.all(hosts.map((host, index) => start(index, `${host}:0`)));
    if (replicating) await connected(urls, options);
    return {
      nodes: urls.map((url, index) => ({ url, peerPort: peerPorts[index] })),
      async restart(index) {
        await stopChild(children.get(index) as ChildProcess, options.clock);
        await start(index, new URL(urls[index] as string).host);
        if (replicating) await connected(urls, options);
      },
      close: closeOnce,
    };
  } catch (error) {
    await closeOnce();
    throw error;
  }
}

interface Members {
  readonly ids: readonly string[];
  readonly hosts: readonly string[];
  readonly peerPorts: readonly number[];
}

function storeOf({ ids, hosts, peerPorts }: Members, index: number) {
  if (peerPorts.length === 0) return { store: 'leveldb' };
  const server = (member: number) => `${hosts[member]}:${peerPorts[member]}`;
  const peers = ids.flatMap((id, other) => (other === index ? [] : [`${id}=${server(other)}`]));
  return { store: 'nats', natsListen: server(index), peers: peers.join() };
}

/**
 * A process beside this one, or in another network; in a group of its own, because Ctrl-C goes to a whole group: a node,
 * and what it starts itself, are to end when they are told to.
 */
function forkAt(place: NodePlace | undefined, program: NodeProgram): ChildProcess {
  const stdio: StdioOptions = ['ignore', 'ignore', 'inherit', 'ipc'];
  const [execPath, ...words] = place?.enter ?? [];
  if (execPath === undefined) return fork(childPath(program), { stdio, detached: true });
  const execArgv = [...words, process.execPath, ...process.execArgv];
  return fork(childPath(program), { stdio, execPath, execArgv, detached: true });
}

/** Beside this file, in the form in which this file runs. */
function childPath(program: NodeProgram): string {
  return fileURLToPath(new URL(`./${program}.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url));
}

async function startChild(child: ChildProcess, order: ChildOrder, signal: AbortSignal | undefined): Promise<string> {
  child.send(order);
  let abort = () => {};
  const report = await new Promise<ChildReport>((resolve, reject) => {
    child.once('message', resolve);
    child.once('error', reject);
    child.once('exit', (code) => resolve({ code: undefined, message: `the node ended with status ${code}` }));
    abort = () => reject(signal?.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort, { once: true });
  }).finally(() => signal?.removeEventListener('abort', abort));
  if ('url' in report) return report.url;
  const { code, message } = report;
  throw new DiscedgeError(isErrorCode(code) ? code : 'internal_error', message);
}

function isErrorCode(code: string | undefined): code is ErrorCode {
  return code !== undefined && Object.hasOwn(ERROR_TABLE, code);
}

async function stopChild(child: ChildProcess, clock: Clock): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, 'exit');
  if (child.connected) child.disconnect();
  const kill = clock.after(STOP_WAIT_MS, () => child.kill('SIGKILL'));
  await exited;
  kill();
}

/** Waits until every node sees all others. */
async function connected(urls: readonly string[], { clock, signal }: OwnNodesOptions): Promise<void> {
  const deadlineMs = clock.monotonic() + CONNECT_WAIT_MS;
  for (;;) {
    const seen = await Promise.all(urls.map(connectedPeers));
    if (seen.every((peers) => peers === urls.length - 1)) return;
    signal?.throwIfAborted();
    if (clock.monotonic() > deadlineMs) {
      const message = `the nodes did not find each other within ${CONNECT_WAIT_MS / 1000} s`;
      throw new DiscedgeError('nats_unavailable', `${message}; their log has more with --log-level info`);
    }
    await new Promise<void>((resolve) => clock.after(CONNECT_POLL_MS, resolve));
  }
}

async function connectedPeers(url: string): Promise<number> {
  const answer = (await (await fetch(`${url}/nodes`)).json()) as { nodes: readonly { state: string }[] };
  return answer.nodes.filter(({ state }) => state === 'connected').length;
}

/** Machines of their own have the port that nats-server usually has; on one machine it has to be a free one. */
async function peerPortsAt(hosts: readonly string[]): Promise<readonly number[]> {
  return hosts.includes(LOOPBACK) ? freePorts(hosts.length) : hosts.map(() => NATS_PORT);
}

/** Ports that nobody uses now, nor takes before the nodes do unless it asks for these very ports. */
async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  let port = FREE_PORTS.first + Math.floor(Math.random() * FREE_PORTS.count);
  for (let tries = 0; ports.length < count; tries++) {
    if (tries === FREE_PORTS.count) throw new DiscedgeError('nats_unavailable', `${LOOPBACK} has no free ports`);
    if (await isFree(port)) ports.push(port);
    port = port + 1 < FREE_PORTS.first + FREE_PORTS.count ? port + 1 : FREE_PORTS.first;
  }
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, LOOPBACK), 'listening');
  } catch {
    return false;
  }
  await once(server.close(), 'close');
  return true;
}

/** Node ids, which are more narrow than the names a scenario may use. */
function distinctIds(names: readonly string[]): string[] {
  const ids: string[] = [];
  for (const name of names) {
    const id = nodeIdFromHostName(name);
    ids.push(ids.includes(id) ? `${id.slice(0, 28)}-${ids.length + 1}` : id);
  }
  return ids;
}

function onlyOnce(run: () => Promise<void>): () => Promise<void> {
  let result: Promise<void> | undefined;
  return () => {
    result ??= run();
    return result;
  };
}
