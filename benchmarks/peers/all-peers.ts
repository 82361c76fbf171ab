import { execFile } from 'node:child_process';
import { existsSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort } from '../../tools/free-port.ts';
import { startNodeProcess } from '../../tools/node-process.ts';
import { startProcess } from '../../tools/processes.ts';
import { said } from './conversations.ts';
import { DIRECT_SPEECH, type Peer, type PeerPlace, RESPONSES_SPEECH, SESSION_SPEECH, type Speech } from './peer.ts';

const run = promisify(execFile);

/** The LLM with nothing in front of it. */
export const DIRECT: Peer = {
  name: 'nothing in between',
  version: '',
  speech: DIRECT_SPEECH,
  start: async ({ llm: { pid, port } }) => ({ pid, port, kill: async () => {} }),
};

/** An edge node of this build as `discedge serve` starts it: LevelDB, in front of the LLM as in front of a llama-server. */
export function edgeNode(version: string, speech: Speech = SESSION_SPEECH): Peer {
  const name = speech === SESSION_SPEECH ? 'DisCEdge' : 'DisCEdge, Responses';
  return { name, version, speech: { ...speech, llmPath: '/completion' }, start: startEdgeNode };
}

async function startEdgeNode({ llm, folder, env }: PeerPlace) {
  const args = ['--llm', llm.url, '--store', 'leveldb', '--data-dir', folder];
  const node = await startNodeProcess(args, env === undefined ? {} : { env });
  return { pid: node.process.pid, port: Number(new URL(node.url).port), kill: () => node.kill() };
}

interface PythonPackage {
  readonly name: string;
  readonly version: string;
  /** Its program, and the arguments with which it keeps history in front of an LLM that speaks OpenAI's API. */
  command(where: { llmUrl: string; port: number; spare: number; folder: string }): readonly string[];
}

/** Each as its own documentation has it started, its history in what it has by default. */
const PACKAGES: readonly PythonPackage[] = [
  { name: 'sglang-router', version: '0.3.2', command: routerCommand('sglang-router') },
  { name: 'smg', version: '1.13.0', command: routerCommand('smg') },
  {
    name: 'agentic-api',
    version: '0.9.0',
    command: ({ llmUrl, port, folder }) => [
      'agentic-server',
      ...['--llm-api-base', llmUrl, '--gateway-host', '127.0.0.1', '--gateway-port', String(port)],
      ...['--db-url', `sqlite://${join(folder, 'history.db')}?mode=rwc`],
    ],
  },
];

function routerCommand(program: string): PythonPackage['command'] {
  return ({ llmUrl, port, spare }) => [
    ...[program, 'launch', '--host', '127.0.0.1', '--port', String(port), '--worker-urls', llmUrl],
    ...['--backend', 'openai', '--history-backend', 'memory', '--log-level', 'error'],
    ...['--prometheus-host', '127.0.0.1', '--prometheus-port', String(spare)],
  ];
}

const CACHE = fileURLToPath(new URL('../../.cache/peers', import.meta.url));
const INSTALL_WAIT_MS = 180_000;

/**
 * The packages, each installed from PyPI into a folder of its own by that Python, where it is not there yet; `onSkipped` is told
 * which cannot be, and why.
 */
export async function pythonPeers(python: string, onSkipped: (name: string, why: string) => void): Promise<Peer[]> {
  const peers: Peer[] = [];
  for (const one of PACKAGES) {
    try {
      peers.push(pythonPeer(one, await installed(one, python)));
    } catch (error) {
      const { stderr, message } = error as Error & { readonly stderr?: string };
      onSkipped(`${one.name} ${one.version}`, (stderr || message).trim().split('\n').at(-1) as string);
    }
  }
  return peers;
}

async function installed({ name, version }: PythonPackage, python: string): Promise<string> {
  const folder = join(CACHE, `${name}-${version}`);
  const isWhole = join(folder, 'installed');
  if (existsSync(isWhole) && isInPlace(folder)) return folder;
  rmSync(folder, { recursive: true, force: true });
  await run(python, ['-m', 'venv', folder], { timeout: INSTALL_WAIT_MS });
  const install = [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--no-input',
    '--disable-pip-version-check',
    `${name}==${version}`,
  ];
  await run(join(folder, 'bin/python'), install, { timeout: INSTALL_WAIT_MS });
  writeFileSync(isWhole, '');
  return folder;
}

/** Whether it was installed here: the programs of a folder that was moved or copied begin with where their Python was. */
function isInPlace(folder: string): boolean {
  try {
    const [python = ''] = /\/[^\s'"]+\/bin\/python[\d.]*/.exec(readFileSync(join(folder, 'bin/pip'), 'latin1')) ?? [];
    return realpathSync(dirname(python)) === realpathSync(join(folder, 'bin'));
  } catch {
    return false;
  }
}

/** It may say that it is healthy before it knows the LLM. */
async function answersTurns(port: number): Promise<void> {
  const body = RESPONSES_SPEECH.open('').ask('Hello.');
  for (let attempt = 0; ; attempt++) {
    const { status, text } = await said(RESPONSES_SPEECH, { port }, body);
    if (status === 200) return;
    if (attempt === ATTEMPTS_MAX) throw new Error(`it answers a turn with ${status}: ${text.slice(0, 200)}`);
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_ATTEMPTS_MS));
  }
}

const ATTEMPTS_MAX = 100;
const BETWEEN_ATTEMPTS_MS = 200;

function pythonPeer({ name, version, command }: PythonPackage, installation: string): Peer {
  return {
    name,
    version,
    speech: RESPONSES_SPEECH,
    async start({ llm, folder, env }) {
      const port = await freePort();
      const [program = '', ...args] = command({ llmUrl: llm.url, port, spare: await freePort(), folder });
      const process = await startProcess({
        name,
        command: join(installation, 'bin', program),
        args,
        cwd: folder,
        ...(env !== undefined && { env }),
      });
      try {
        await process.waitForHttp(`http://127.0.0.1:${port}/health`);
        await answersTurns(port);
      } catch (error) {
        await process.stop();
        throw error;
      }
      return {
        pid: process.pid,
        port,
        kill: async () => {
          process.kill('SIGKILL');
          await process.exited;
        },
      };
    },
  };
}
