/**
 * Drives the built command line as its users do: starts a node with the demo model, follows what it prints, talks to it
 * through a pipe, stops it, and gives it wrong flags, taken ports, missing models and nodes that are not there. What is
 * printed is looked at: the first words of an error are all that many users will read.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLI_PATH, type NodeProcess, startNodeProcess, temporaryFolder } from '../../tools/node-process.ts';
import { findProgram, startProcess } from '../../tools/processes.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const folder = temporaryFolder();
let node: NodeProcess;
beforeAll(async () => {
  node = await startNodeProcess(['--data-dir', join(folder.path, 'data')]);
});
afterAll(async () => {
  await node?.process.stop();
  folder.remove();
});

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line to its end; `started` is called with each piece of stdout, to send signals by. */
function discedge(
  args: readonly string[],
  {
    input = '',
    onStdout = () => {},
  }: { input?: string; onStdout?: (kill: (signal: NodeJS.Signals) => void) => void } = {},
): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CLI_PATH, ...args], { cwd: folder.path, stdio: 'pipe' });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      onStdout((signal) => child.kill(signal));
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
    child.stdin.end(input);
  });
}

/** A server that answers every request as told; closed after the test. */
async function listening(handler: Parameters<typeof createServer>[1]): Promise<{ url: string; server: Server }> {
  const server = createServer(handler as never);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

describe('help and usage', () => {
  it('each command explains itself', async () => {
    const top = await discedge(['--help']);
    expect(top.code).toBe(0);
    for (const command of ['serve', 'chat', 'sessions', 'doctor']) {
      expect(top.stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
      expect((await discedge([command, '--help'])).code).toBe(0);
    }
  });

  it("serve's help has each setting's default and unit", async () => {
    const { stdout } = await discedge(['serve', '--help']);
    expect(stdout).toMatch(/--max-wait-ms <MILLISECONDS>[^(]*\(default: 1000 milliseconds\)/);
    expect(stdout).toMatch(/--store-bytes-max <BYTES>[^(]*\(default: 4 GiB\)/);
    expect(stdout).toMatch(/--store <leveldb\|memory\|nats\|nats:\/\/HOST:PORT\|fred:\/\/HOST:PORT>/);
    expect(stdout).toContain('--llm-api-key-file <FILE>');
  });

  it('--version prints the version and nothing else', async () => {
    expect(await discedge(['--version'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
  });

  it.each([
    [[]],
    [['serv']],
    [['serve', '--stor', 'memory']],
    [['serve', 'extra']],
    [['sessions']],
    [['sessions', 'show']],
    [['sessions', 'list', '--limit', '0']],
    [['chat', '--mode', 'client-side']],
    [['serve', '--store', 'floppy']],
    [['serve', '--config', 'missing.yaml']],
    [['doctor', '--listen', '8081']],
  ])('%j is a wrong call: status 2, an explanation on stderr, nothing on stdout', async (args) => {
    const { code, stdout, stderr } = await discedge(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^(discedge: |Usage: discedge )/);
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});

describe('serve', () => {
  it('says what it serves and where, and its curl lines work in order', async () => {
    const log = node.process.log();
    expect(log).toMatch(/DisCEdge edge node test serves/);
    expect(log).toMatch(/model .*4,096 tokens/);
    expect(log).toContain(`leveldb in ${join(folder.path, 'data')}`);
    expect(log).toContain(`npx discedge chat --url ${node.url}`);
    const lines = log.split('\n').filter((line) => line.trim().startsWith('curl '));
    expect(lines).toHaveLength(2);
    const answers = [];
    for (const line of lines) answers.push(await runCurl(line.trim()));
    expect(answers[0]).toMatchObject({ turn: 1, session_id: 'hello' });
    expect(answers[1]).toMatchObject({ turn: 2, content: expect.stringContaining('Ada') });
  });

  it('on every address it warns, and prints a URL that works', async () => {
    const open = await startNodeProcess([
      ...['--llm', 'scripted', '--store', 'memory', '--listen', '0.0.0.0:0', '--serve-anyone'],
    ]);
    try {
      await open.process.waitForLine(/^discedge: 0\.0\.0\.0 can be reached from other machines/);
      const [line] = open.process
        .log()
        .split('\n')
        .filter((one) => one.trim().startsWith('curl '));
      expect(line).toContain('curl http://127.0.0.1:');
      expect(await runCurl((line as string).trim())).toMatchObject({ turn: 1, session_id: 'hello' });
    } finally {
      await open.process.stop();
    }
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('%s ends it in good order', async (signal) => {
    const own = await startNodeProcess(['--llm', 'scripted', '--store', 'memory']);
    own.process.kill(signal);
    expect(await own.process.exited).toEqual({ code: 0, signal: null });
    expect(own.process.log()).toContain(`stopping (${signal})`);
  });

  it('npm start ends with its npm, though the shell between them passes no signal on', async () => {
    const args = ['start', '--silent', '--', '--llm', 'scripted', '--store', 'memory', '--listen', '127.0.0.1:0'];
    const npm = spawn('npm', args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
    // Whoever still runs holds the pipe open.
    const ended = new Promise((resolve) => npm.on('close', resolve));
    npm.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (text.includes('/openapi.json')) npm.kill('SIGTERM');
    });
    await ended;
  });

  it('a second signal ends it at once', async () => {
    const silent = createTcpServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const llm = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const asked = new Promise<void>((resolve) => silent.once('connection', () => resolve()));
    const args = [
      CLI_PATH,
      'serve',
      '--listen',
      '127.0.0.1:0',
      '--store',
      'memory',
      '--llm',
      llm,
      '--llm-idle-timeout-ms',
      '3600000',
    ];
    const starting = await startProcess({ command: process.execPath, args });
    await asked;
    starting.kill('SIGINT');
    await starting.waitForLine(/stopping/);
    starting.kill('SIGINT');
    expect((await starting.exited).code).toBe(130);
    silent.close();
  });

  const failures: [string, () => string[], RegExp][] = [
    ['port in use', () => ['--listen', new URL(node.url).host], /cannot listen on 127\.0\.0\.1:\d+: .*--listen/],
    [
      'data folder in use',
      () => ['--data-dir', join(folder.path, 'data'), '--listen', '127.0.0.1:0'],
      /is open in .*--data-dir/,
    ],
    ['model missing', () => ['--model', 'missing.gguf'], /missing\.gguf does not exist/],
    ['model not a GGUF', () => ['--model', notGguf()], /is not a GGUF file/],
    ['llama-server not there', () => ['--llm', 'http://127.0.0.1:1'], /http:\/\/127\.0\.0\.1:1/],
  ];
  it.each(failures)('%s: one clear line, what to do, status 1, no stack', async (_, flags, expected) => {
    const { code, stdout, stderr } = await discedge(['serve', '--store', 'lmdb', ...withDefaults(flags())]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    const ours = stderr.split('\n').filter((line) => line.startsWith('discedge: '));
    expect(ours[0]).toMatch(expected);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  it('takes settings from a file and the environment', async () => {
    const file = join(folder.path, 'node.yaml');
    writeFileSync(file, 'store: memory\nllm: scripted\nmodel-name: from-file\n');
    const own = await startNodeProcess(['--config', file]);
    expect((await own.get('/props')).body).toMatchObject({ model_alias: 'from-file', store: 'memory' });
    await own.process.stop();
  });
});

describe('chat', () => {
  const chat = (input: string, ...flags: string[]) => discedge(['chat', '--url', node.url, ...flags], { input });

  it('answers each line of a pipe; replies on stdout, what is about them on stderr', async () => {
    const { code, stdout, stderr } = await chat('My name is Zorblat.\n\nWhat is my name?\n');
    expect(code).toBe(0);
    const replies = stdout.trimEnd().split('\n');
    expect(replies).toHaveLength(2);
    expect(replies[1]).toContain('Zorblat');
    expect(stderr).toMatch(/^turn 1 · \d+ cached, \d+ evaluated, \d+ new · first .*, all .* · test$/m);
    expect(stderr).toMatch(/^turn 2 · [1-9]\d* cached/m);
  });

  it('goes on with a session, and only its own user can', async () => {
    const first = await chat('My name is Quill.\n/session\n', '--user', 'ada');
    const id = /session (\S+)/.exec(first.stderr)?.[1] as string;
    const second = await chat('What is my name?\n', '--user', 'ada', '--session', id);
    expect(second.stdout).toContain('Quill');
    expect(second.stderr).toMatch(/^turn 2 /m);
    const stranger = await chat('What is my name?\n', '--session', id);
    expect(stranger.code).toBe(1);
    expect(stranger.stdout).toBe('');
    expect(stranger.stderr).toContain('discedge sessions list');
  });

  it('has commands', async () => {
    const { code, stdout, stderr } = await chat(
      `/help\nMy name is Ada.\n/history\n/move http://127.0.0.1:1\n/move ${node.url}\n/bogus\n/new\n/session\n/quit\nnever sent\n`,
    );
    expect(code).toBe(0);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    for (const expected of [
      /\/move URL/,
      /1 › My name is Ada\./,
      /http:\/\/127\.0\.0\.1:1 cannot be reached/,
      /The next turn goes to node test/,
      /no command \/bogus/,
      /A new session/,
      /turn {4}0/,
    ]) {
      expect(stderr).toMatch(expected);
    }
  });

  it('asks a node that it moves to with the same key', async () => {
    const keys: (string | undefined)[] = [];
    const { url, server } = await listening((request, response) => {
      if (request.url === '/props') keys.push(request.headers.authorization);
      response.setHeader('content-type', 'application/json').end('{"node":"next"}');
    });
    const file = join(folder.path, 'ada.key');
    writeFileSync(file, 'dk_secret\n');
    const { stderr } = await chat(`/move ${url}\n`, '--api-key-file', file);
    expect(stderr).toContain('The next turn goes to node next');
    expect(keys).toEqual(['Bearer dk_secret']);
    server.close();
  });

  it('fails over to another node when the first is not there', async () => {
    const { code, stdout } = await discedge(['chat', '--url', 'http://127.0.0.1:1', node.url], {
      input: 'My name is Ada.\n',
    });
    expect(code).toBe(0);
    expect(stdout).toContain('Ada');
  });

  it('says how to get a node when there is none', async () => {
    const { code, stderr } = await discedge(['chat', '--url', 'http://127.0.0.1:1']);
    expect(code).toBe(1);
    expect(stderr).toContain('discedge serve');
  });

  it('stops at a message that cannot be answered, with status 1', async () => {
    const { code, stdout, stderr } = await chat(`${'a '.repeat(5000)}\nMy name is Ada.\n`);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('(context_overflow)');
  });

  it('Ctrl-C cancels the turn at its node', async () => {
    const paths: string[] = [];
    const { url, server } = await listening((request, response) => {
      paths.push(`${request.method} ${request.url}`);
      if (request.url === '/completion') {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write('data: {"content":"and so on","stop":false}\n\n');
      } else {
        response.setHeader('content-type', 'application/json').end('{"cancelled":true,"status":"ok"}');
      }
    });
    let isInterrupted = false;
    const { code, stdout, stderr } = await discedge(['chat', '--url', url], {
      input: 'Tell me everything.\n',
      // Once: the line end after the cancelled reply may come as a chunk of its own.
      onStdout: (kill) => {
        if (!isInterrupted) kill('SIGINT');
        isInterrupted = true;
      },
    });
    expect(stdout).toBe('and so on\n');
    expect(stderr).toContain('Cancelled');
    expect(code).toBe(1);
    expect(paths.at(-1)).toMatch(/^POST \/sessions\/\w+\/cancel$/);
    server.closeAllConnections();
    server.close();
  });
});

describe('sessions', () => {
  const sessions = (...args: string[]) => discedge(['sessions', ...args, '--url', node.url, '--user', 'cli']);
  beforeAll(async () => {
    for (const session_id of ['one', 'two', 'three']) {
      await node.turn({ session_id, user_id: 'cli', turn: 1, prompt: 'My name is Ada.' });
    }
  });

  it('list prints a table, or JSON', async () => {
    const { code, stdout } = await sessions('list');
    expect(code).toBe(0);
    const [header, ...rows] = stdout.trimEnd().split('\n');
    expect(header).toMatch(/^SESSION\s+MODE\s+TURNS\s+SIZE\s+LATEST TURN\s+EXPIRES$/);
    expect(rows.map((row) => row.split(/\s+/).slice(0, 3))).toEqual([
      ['one', 'tokenized', '1'],
      ['three', 'tokenized', '1'],
      ['two', 'tokenized', '1'],
    ]);
    const json = (await sessions('list', '--json', '--limit', '2')).stdout.trimEnd().split('\n');
    const listed = json.map((line) => JSON.parse(line));
    expect(listed.map(({ session_id }) => session_id)).toEqual(['one', 'three']);
    const answer = await fetch(`${node.url}/sessions?user_id=cli&limit=2`);
    expect(listed).toEqual(((await answer.json()) as { data: unknown }).data);
    expect((await discedge(['sessions', 'list', '--url', node.url, '--user', 'nobody'])).stdout).toMatch(
      /^no sessions/,
    );
  });

  it('show prints the turns with their text', async () => {
    const { code, stdout } = await sessions('show', 'one');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^turn 1 · .* · test · \d+ \+ \d+ tokens\n› My name is Ada\.\n.*Ada/m);
    expect(JSON.parse((await sessions('show', 'one', '--json')).stdout)).toMatchObject({ session_id: 'one' });
  });

  it('export gives exact ids, one session a line, of one session or of all', async () => {
    const all = (await sessions('export')).stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(all.map(({ session_id }) => session_id)).toEqual(['one', 'three', 'two']);
    expect(all[0].turns[0].reply_ids.length).toBeGreaterThan(0);
    const file = join(folder.path, 'export.json');
    expect(await sessions('export', 'two', '--output', file)).toMatchObject({ code: 0, stdout: '' });
  });

  it('delete does not ask where there is no terminal, and is final', async () => {
    expect(await sessions('delete', 'two')).toMatchObject({ code: 0, stdout: 'deleted two\n' });
    const gone = await sessions('show', 'two');
    expect(gone).toMatchObject({ code: 1, stdout: '' });
    expect(gone.stderr).toMatch(/^discedge: .*deleted/);
  });
});

describe('doctor', () => {
  const doctor = (...args: string[]) =>
    discedge(['doctor', '--listen', '127.0.0.1:0', '--data-dir', join(folder.path, 'fresh'), ...args]);

  it('finds everything that the demo needs', async () => {
    const { code, stdout } = await doctor('--json');
    const checks = JSON.parse(stdout).checks as { name: string; outcome: string }[];
    expect(checks.filter(({ outcome }) => outcome === 'missing')).toEqual([]);
    expect(checks.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'Node.js',
        'embedded llama.cpp',
        'model',
        'data folder',
        'address',
        'llama-server',
        'nats-server',
      ]),
    );
    expect(code).toBe(0);
  });

  it('of a node that replicates: its nats-server, certificates and peers', async () => {
    const shared = ['--llm', 'scripted', '--store', 'nats', '--node-id', 'e1', '--nats-program', 'no-such-server'];
    const { code, stdout } = await doctor(...shared, '--peers', 'e2=127.0.0.1:1', '--certs-dir', folder.path);
    expect(stdout).toMatch(/^missing +nats-server .*no-such-server is not there/m);
    expect(stdout).toMatch(/^missing +certificates .*node\.crt cannot be read/m);
    expect(stdout).toMatch(/^warn +peer e2 .*nothing answers/m);
    expect(code).toBe(1);
  });

  it('looks at a running node, and at what it holds', async () => {
    const taken = ['--listen', new URL(node.url).host, '--data-dir', join(folder.path, 'data')];
    const { code, stdout } = await discedge(['doctor', '--llm', 'scripted', '--url', node.url, ...taken]);
    expect(stdout).toMatch(/^ok +edge node +test at http/m);
    expect(stdout).toMatch(/^warn +address .*listens/m);
    expect(stdout).toMatch(/^warn +data folder .*is open/m);
    expect(code).toBe(0);
  });

  it.each([
    ['a model', ['--model', 'missing.gguf'], /^missing +model .*does not exist/m],
    ['a llama-server', ['--llm', 'http://127.0.0.1:1'], /^missing +llama-server .*does not answer/m],
    ['an edge node', ['--llm', 'scripted', '--url', 'http://127.0.0.1:1'], /^missing +edge node .*does not answer/m],
    ['a place for its data', ['--llm', 'scripted', '--data-dir', '/proc/none'], /^missing +data folder/m],
  ])('misses %s: status 1 and what to do', async (_, args, expected) => {
    const { code, stdout } = await doctor(...args);
    expect(stdout).toMatch(expected);
    expect(stdout).toMatch(/→ /);
    expect(code).toBe(1);
  });

  it('tells a llama-server from something else, and a wrong key from a right one', async () => {
    const { url, server } = await listening((request, response) => {
      if (request.headers.authorization !== 'Bearer hunter2') response.statusCode = 401;
      response.end('{"model_path":"tiny.gguf","build_info":"b1"}');
    });
    expect((await doctor('--llm', url)).stdout).toMatch(/^missing +llama-server .*wants another key/m);
    const key = join(folder.path, 'key');
    writeFileSync(key, 'hunter2\n');
    const { stdout, code } = await doctor('--llm', url, '--llm-api-key-file', key);
    expect(stdout).toMatch(/^ok +llama-server .*serves tiny\.gguf \(b1\)/m);
    expect(stdout).not.toContain('hunter2');
    expect(code).toBe(0);
    expect((await doctor('--llm', node.url)).stdout).toMatch(/^missing +llama-server/m);
    server.close();
  });
});

function notGguf(): string {
  const path = join(folder.path, 'not.gguf');
  writeFileSync(path, 'PK something else entirely, long enough to have a header');
  return path;
}

/** A failure must be the one that is asked for, so everything else gets a place of its own. */
function withDefaults(flags: string[]): string[] {
  const defaults: [string, string][] = [
    ['--listen', '127.0.0.1:0'],
    ['--data-dir', join(folder.path, 'failing')],
  ];
  return [...flags, ...defaults.filter(([flag]) => !flags.includes(flag)).flat()];
}

/** Runs a printed curl line through the shell; without curl, sends what it would send. */
async function runCurl(line: string): Promise<unknown> {
  if (findProgram('curl') === undefined) {
    const [, url, body] = /^curl (\S+) .* -d '(.*)'$/.exec(line) as unknown as [string, string, string];
    return (await fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json' } })).json();
  }
  const shell = spawn('sh', ['-c', line], { stdio: ['ignore', 'pipe', 'ignore'] });
  let output = '';
  for await (const text of shell.stdout.setEncoding('utf8')) output += text;
  return JSON.parse(output);
}

describe('a node with several models', () => {
  let several: NodeProcess;
  beforeAll(async () => {
    const models = ['--llm', 'first=scripted', '--llm', 'second=scripted'];
    several = await startNodeProcess([...models, '--data-dir', join(folder.path, 'several')]);
  });
  afterAll(() => several?.process.stop());
  const at = (...args: string[]) => [...args, '--url', several.url];

  it('says which there are, and which is the default one', () => {
    const printed = several.process.log();
    expect(printed).toMatch(
      /model +first \(.*; scripted; tokenized; the default one\)\n +second \(.*; scripted; tokenized\)/,
    );
  });

  it('chat talks to the one that is named, and goes on with a session where it is', async () => {
    const first = await discedge(at('chat'), { input: 'to the default\n' });
    expect(first.stdout).toContain('Turn 1: to the default');
    const second = await discedge(at('chat', '--model', 'second'), { input: 'to the second\n' });
    expect(second.stdout).toContain('Turn 1: to the second');

    const { stdout } = await discedge(at('sessions', 'list'));
    expect(stdout).toMatch(/^SESSION +MODEL +MODE/m);
    const ofSecond = await discedge(at('sessions', 'list', '--model', 'second', '--json'));
    const [listed, ...others] = ofSecond.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(others).toEqual([]);
    expect(listed).toMatchObject({ model: 'second', turns: 1 });
    const resumed = await discedge(at('chat', '--session', listed.session_id), { input: 'Recall\n' });
    expect(resumed.stdout).toContain('to the second');

    const none = await discedge(at('chat', '--model', 'third'), { input: 'x\n' });
    expect(none.code).toBe(1);
    expect(none.stderr).toContain('this node serves no model of that name; it serves first, second');
  });
});
