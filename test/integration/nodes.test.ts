/**
 * Several edge nodes as users start them: real nats-servers that the nodes start, one conversation that roams. Tries to
 * catch a node that answers from less than the client has said, that forgets a deletion, that lets in or stays silent
 * about whoever does not belong, or that starts with settings under which replication cannot work.
 */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { startEdgeNode } from '../../src/edge-node/edge-node.ts';
import { freePort } from '../../tools/free-port.ts';
import { CLI_PATH, startNodeProcess, temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { startNatsServer } from '../../tools/real-servers/nats-server.ts';
import { makeCertificates } from '../../tools/supervised-nats.ts';
import { type InProcessNode, type Json, type NodeUnderTest, startTestNode } from '../../tools/test-node.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;

let program: string;
let folder: ReturnType<typeof temporaryFolder>;
const opened: Array<() => Promise<unknown>> = [];

beforeAll(async () => {
  program = (await natsPrograms())[0]?.path as string;
});
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
  folder.remove();
});

type Flags = Record<string, unknown>;

function flagsOf(nodeId: string, flags: Flags = {}): Flags {
  return {
    ...{ nodeId, store: 'nats', natsProgram: program, natsListen: '127.0.0.1:0', dataDir: join(folder.path, nodeId) },
    ...flags,
  };
}

async function start(nodeId: string, flags: Flags = {}): Promise<InProcessNode> {
  const node = await startTestNode(flagsOf(nodeId, flags));
  opened.push(() => node.close());
  return node;
}

const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: WAIT_MS, interval: 50 });
const nodesOf = async (node: NodeUnderTest): Promise<Json> => (await node.get('/nodes')).body;
const peerOf = async (node: NodeUnderTest, id: string) =>
  (await nodesOf(node)).nodes.find((listed: Json) => listed.node === id);

/** Where peers reach its nats-server: what a node that has learned of it would dial. */
async function natsAddress(node: NodeUnderTest): Promise<string> {
  return new URL((await nodesOf(node)).nodes[0].nats_url).host;
}

const drain = (node: { readonly url: string }, ...more: string[]) =>
  promisify(execFile)(process.execPath, [CLI_PATH, 'nodes', 'drain', '--url', node.url, ...more]);

async function connected(node: NodeUnderTest, ...ids: string[]): Promise<void> {
  await eventually(async () => {
    for (const id of ids) expect(await peerOf(node, id)).toMatchObject({ state: 'connected', lag: 0 });
  });
}

describe('three nodes, of which the second and third know only the first', () => {
  test('a conversation roams, is deleted at one and gone at all', async () => {
    const a = await start('a', { location: '52.5123,13.3269', cluster: 'blue' });
    const peers = `a=${await natsAddress(a)}`;
    const b = await start('b', { peers, cluster: 'blue' });
    const c = await start('c', { peers, cluster: 'blue' });
    await Promise.all([connected(a, 'b', 'c'), connected(b, 'a', 'c'), connected(c, 'a', 'b')]);

    const session = { session_id: 'roaming', max_wait_ms: 30_000 };
    let contextId: string | undefined;
    for (const [index, node] of [a, b, c, b, a, c].entries()) {
      const turn = index + 1;
      const reply = await node.turn({ ...session, turn, prompt: `message ${turn}`, context_id: contextId });
      expect(reply).toMatchObject({ turn, based_on_turn: index, replayed: false });
      contextId = reply.context_id;
    }
    await eventually(async () => {
      const [first, ...others] = await Promise.all(
        [a, b, c].map(async (node) => (await node.get('/sessions/roaming/export')).body),
      );
      for (const other of others) expect(other).toEqual(first);
      expect(first.turns).toHaveLength(6);
    });

    const metrics = (await c.get('/metrics')).text;
    expect(metrics).toMatch(/^discedge_peer_connected\{peer="a"\} 1$/m);
    expect(metrics).toMatch(/^discedge_peer_lag_records\{peer="b"\} 0$/m);
    expect(metrics).toMatch(/^discedge_peer_bytes\{peer="a",direction="in"\} [1-9]/m);
    expect(metrics).toMatch(/^discedge_unpublished_records 0$/m);

    await b.request('DELETE', '/sessions/roaming');
    for (const node of [a, c]) {
      await eventually(async () => expect((await node.get('/sessions/roaming')).status).toBe(410));
    }

    const directory = await nodesOf(c);
    expect(directory).toMatchObject({ cluster: 'blue', refused: {} });
    expect(directory.nodes[0]).toMatchObject({
      node: 'c',
      state: 'self',
      url: c.url,
      nats_connected: true,
      unpublished: 0,
    });
    expect(directory.nodes.find((node: Json) => node.node === 'a')).toMatchObject({
      state: 'connected',
      url: a.url,
      model: 'scripted',
      location: { latitude: 52.5123, longitude: 13.3269 },
      lag: 0,
      refused_records: {},
      last_seen_ms_ago: expect.any(Number),
    });
  });

  test('a node that was away has everything when it is back', async () => {
    const a = await start('a');
    const peers = `a=${await natsAddress(a)}`;
    let b = await start('b', { peers });
    await connected(a, 'b');
    await b.turn({ session_id: 's', turn: 1, prompt: 'first' });
    await opened.pop()?.();
    await eventually(async () => expect(await peerOf(a, 'b')).toMatchObject({ state: 'unreachable' }));
    await a.turn({ session_id: 's', turn: 2, prompt: 'second' });
    b = await start('b', { peers });
    expect(await b.turn({ session_id: 's', turn: 3, prompt: 'third', max_wait_ms: 30_000 })).toMatchObject({
      based_on_turn: 2,
    });
  });
});

test('a turn sent again to a node of other limits and defaults is a replay', async () => {
  const a = await start('a', { mode: 'raw', replyTokensMax: 900, replyTokensDefault: 20, writeConcern: 'replicated' });
  const b = await start('b', {
    ...{ peers: `a=${await natsAddress(a)}`, consistency: 'available', overflow: 'drop-oldest', turnGate: 'fixed' },
    ...{ replyTokensMax: 8, replyTokensDefault: 7, ttlSeconds: 60, ttlSecondsMax: 600, contextTokens: 5000 },
  });
  await connected(b, 'a');
  for (const [index, fields] of [{}, { n_predict: -1 }, { n_predict: 800 }, { mode: 'tokenized' }].entries()) {
    const body = { session_id: `s${index}`, turn: 1, prompt: 'a long enough message', ...fields };
    const reply = await a.turn(body);
    expect(reply).toMatchObject({ write_concern: 'replicated', replayed: false });
    expect(await b.turn(body)).toMatchObject({ replayed: true, context_id: reply.context_id });
  }
});

test.each([
  ['that the other has in its settings', true],
  ['that the other has learned of', false],
])('a node %s is found again under another address', async (_, isConfigured) => {
  const [aPort, bPort] = [await freePort(), await freePort()];
  const known = isConfigured ? { peers: `b=127.0.0.1:${bPort}` } : {};
  const a = await start('a', { ...known, natsListen: `127.0.0.1:${aPort}` });
  await start('b', { peers: `a=127.0.0.1:${aPort}`, natsListen: `127.0.0.1:${bPort}` });
  await connected(a, 'b');
  await opened.pop()?.();
  await eventually(async () => expect(await peerOf(a, 'b')).toMatchObject({ state: 'unreachable' }));
  const b = await start('b', { peers: `a=127.0.0.1:${aPort}` });
  await b.turn({ session_id: 's', turn: 1, prompt: 'from elsewhere' });
  expect(await a.turn({ session_id: 's', turn: 2, prompt: 'second', max_wait_ms: 30_000 })).toMatchObject({
    based_on_turn: 1,
  });
});

test('a node that is shut out is refused and told so', async () => {
  const a = await start('a', { exclude: 'b,c' });
  const b = await start('b', { peers: `a=${await natsAddress(a)}` });
  await eventually(async () =>
    expect(await peerOf(b, 'a')).toMatchObject({ state: 'refused', reason: 'a excludes this node' }),
  );
  const { nodes, refused } = await nodesOf(a);
  expect(refused).toEqual({ b: 'excluded' });
  expect(nodes).toHaveLength(1);
});

test('models that differ share nothing', async () => {
  const a = await start('a');
  const b = await start('b', { modelName: 'another', peers: `a=${await natsAddress(a)}` });
  await connected(a, 'b');
  await a.turn({ session_id: 's', turn: 1, prompt: 'first' });
  const other = await b.post('/completion', { session_id: 's', turn: 2, prompt: 'second', max_wait_ms: 200 });
  expect(other).toMatchObject({ status: 503 });
  expect(other.body.error.message).toMatch(/no node that this one knows serves this model/);
  expect(await peerOf(b, 'a')).toMatchObject({ logs: [], unlike_models: [] });
  await expect(drain(a)).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /^discedge: 1 record of a on no other node yet, 1 of them of a model or chat template /,
    ),
  });
});

test('one name for two models is shown, and sessions are not waited for that cannot come', async () => {
  const a = await start('a');
  const chatTemplateFile = join(folder.path, 'other.jinja');
  writeFileSync(
    chatTemplateFile,
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\nOTHER ' + m.content + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
  );
  const b = await start('b', { chatTemplateFile, mode: 'raw', peers: `a=${await natsAddress(a)}` });
  await connected(a, 'b');
  await connected(b, 'a');
  expect(await peerOf(a, 'b')).toMatchObject({ models: ['scripted'], unlike_models: ['scripted'], logs: [] });
  await a.turn({ session_id: 's', turn: 1, prompt: 'first' });
  const other = await b.post('/completion', { session_id: 's', turn: 2, prompt: 'second', max_wait_ms: 200 });
  expect(other.body.error).toMatchObject({
    type: 'context_stale',
    message: expect.stringMatching(
      /no node that this one knows serves this model with the same tokenizer and chat template/,
    ),
  });
});

describe('with certificates', () => {
  const certified = (nodeId: string, flags: Flags = {}) =>
    start(nodeId, { cluster: 'blue', certsDir: join(folder.path, 'certs', nodeId), ...flags });

  test('nodes replicate over mutual TLS', async () => {
    await makeCertificates(join(folder.path, 'certs'), 'blue', ['a', 'b']);
    const a = await certified('a', { peers: 'b=127.0.0.1:1' });
    const b = await certified('b', { peers: `a=${await natsAddress(a)}` });
    await connected(b, 'a');
    await a.turn({ session_id: 's', turn: 1, prompt: 'first' });
    expect(await b.turn({ session_id: 's', turn: 2, prompt: 'second', max_wait_ms: 30_000 })).toMatchObject({
      based_on_turn: 1,
    });
    const { text } = await a.get('/metrics');
    const [, expires] = /^discedge_node_certificate_expires_timestamp_seconds (\S+)$/m.exec(text) ?? [];
    expect(Number(expires) * 1000).toBeGreaterThan(Date.now());
  });

  test('a node of another authority is refused, and /nodes says why', async () => {
    await makeCertificates(join(folder.path, 'certs'), 'blue', ['a', 'b']);
    await makeCertificates(join(folder.path, 'foreign'), 'blue', ['b']);
    const a = await certified('a', { peers: 'b=127.0.0.1:1' });
    const certsDir = join(folder.path, 'foreign', 'b');
    const b = await certified('b', { certsDir, peers: `a=${await natsAddress(a)}` });
    await eventually(async () =>
      expect(await peerOf(b, 'a')).toMatchObject({
        state: 'unreachable',
        reason: expect.stringMatching(/certificate/i),
      }),
    );
  });

  test('one that does not name where peers would reach the node is refused, and the message says what to do', async () => {
    await makeCertificates(join(folder.path, 'certs'), 'blue', ['a']);
    const elsewhere = certified('a', { natsListen: '127.0.0.1:0', natsAdvertise: 'other.example:4222' });
    await expect(elsewhere).rejects.toMatchObject({
      code: 'certificate_unusable',
      message: expect.stringMatching(/does not name other\.example.*--nats-advertise/),
    });
    // What it does name is taken.
    await certified('a', { natsAdvertise: 'edge.example:4222' });
  });

  test.each([
    ['names another node', 'b', 'blue', 'a@blue, and this is b@blue'],
    ['names another cluster', 'a', 'red', 'a@blue, and this is a@red'],
  ])('one that %s is refused before anything starts', async (_, nodeId, cluster, message) => {
    await makeCertificates(join(folder.path, 'certs'), 'blue', ['a']);
    await expect(start(nodeId, { cluster, certsDir: join(folder.path, 'certs', 'a') })).rejects.toMatchObject({
      code: 'certificate_unusable',
      message: expect.stringContaining(message),
    });
  });
});

describe('behind a hub', () => {
  test.each([
    ['on one machine', false],
    ['with certificates', true],
  ])('nodes that can only dial out share a conversation, %s', async (_, isCertified) => {
    const port = await freePort();
    const ids = ['hub', 'a', 'b'];
    if (isCertified) await makeCertificates(join(folder.path, 'certs'), 'blue', ids);
    const flags = (id: string) =>
      isCertified ? { cluster: 'blue', certsDir: join(folder.path, 'certs', id) } : { cluster: 'blue' };
    const hub = await start('hub', { ...flags('hub'), hubListen: `127.0.0.1:${port}`, peers: 'a,b' });
    const a = await start('a', { ...flags('a'), hub: `hub=127.0.0.1:${port}` });
    const b = await start('b', { ...flags('b'), hub: `hub=127.0.0.1:${port}` });
    await Promise.all([connected(hub, 'a', 'b'), connected(a, 'hub', 'b'), connected(b, 'hub', 'a')]);
    for (const [index, node] of [a, b, hub, a].entries()) {
      const turn = index + 1;
      const reply = await node.turn({ session_id: 's', turn, prompt: `message ${turn}`, max_wait_ms: 30_000 });
      expect(reply).toMatchObject({ turn, based_on_turn: index });
    }
  });
});

describe('bad company is told from a node that is away', () => {
  test('an address where something else answers', async () => {
    const web: Server = createServer((socket: Socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
    opened.push(async () => web.close());
    const { port } = web.address() as { port: number };
    const a = await start('a', { peers: `b=127.0.0.1:${port}` });
    await eventually(async () =>
      expect(await peerOf(a, 'b')).toMatchObject({ state: 'unreachable', reason: expect.any(String) }),
    );
    expect((await a.turn({ session_id: 's', turn: 1, prompt: 'alone' })).turn).toBe(1);
  });

  test.each([
    ['another cluster', 'b', { cluster: 'another' }, 'other_cluster'],
    ['a node id in use', 'a', {}, 'duplicate_node_id'],
  ])('%s', async (_, nodeId, flags, why) => {
    const a = await start('a');
    const c = await start('c', { peers: `a=${await natsAddress(a)}` });
    await connected(a, 'c');
    const peers = `c=${await natsAddress(c)}`;
    const odd = await start(nodeId, { ...flags, peers, dataDir: join(folder.path, 'odd') });
    await eventually(async () => expect(await peerOf(odd, 'c')).toMatchObject({ state: 'refused' }));
    expect((await peerOf(odd, 'c')).reason).toMatch(/cluster|in use/);
    await eventually(async () => expect((await nodesOf(c)).refused).toEqual({ [nodeId]: why }));
    await odd.turn({ session_id: 'foreign', turn: 1, prompt: 'not yours' });
    await a.turn({ session_id: 'own', turn: 1, prompt: 'ours' });
    await eventually(async () => expect((await c.get('/sessions/own')).status).toBe(200));
    expect((await c.get('/sessions/foreign')).status).toBe(404);
  });
});

describe('a nats-server that runs already', () => {
  test('is used', async () => {
    const server = await startNatsServer();
    opened.push(() => server.stop());
    const a = await start('a', { store: server.url });
    const b = await start('b', { peers: `a=${new URL(server.url).host}` });
    await connected(b, 'a');
    await a.turn({ session_id: 's', turn: 1, prompt: 'first' });
    expect(await b.turn({ session_id: 's', turn: 2, prompt: 'second', max_wait_ms: 30_000 })).toMatchObject({
      based_on_turn: 1,
    });
  });

  test('and that cannot be reached keeps no turn from being answered', async () => {
    const a = await start('a', { store: 'nats://127.0.0.1:1' });
    await a.turn({ session_id: 's', turn: 1, prompt: 'first' });
    expect((await nodesOf(a)).nodes[0]).toMatchObject({ nats_connected: false, unpublished: 1 });
  });
});

test('without a nats-server the node does not start and says how to get one', async () => {
  const missing = startEdgeNode(
    loadConfig({ flags: { ...flagsOf('a', { natsProgram: 'no-such-server' }), llm: 'scripted' }, env: {} }),
  );
  await expect(missing).rejects.toMatchObject({
    code: 'nats_unavailable',
    message: expect.stringContaining('install'),
  });
  // Nothing was left open: the same folder starts.
  await start('a');
});

test('as processes: the directory on the command line, and nothing left running', async () => {
  const args = (nodeId: string, ...more: string[]) => [
    ...['--llm', 'scripted', '--store', 'nats', '--node-id', nodeId, '--data-dir', join(folder.path, nodeId)],
    ...['--nats-program', program, '--nats-listen', '127.0.0.1:0', ...more],
  ];
  const a = await startNodeProcess(args('a', '--location', '52.5,13.3'));
  opened.push(() => a.process.stop());
  const b = await startNodeProcess(args('b', '--peers', `a=${await natsAddress(a)}`));
  opened.push(() => b.process.stop());
  await connected(a, 'b');
  const { stdout } = await promisify(execFile)(process.execPath, [CLI_PATH, 'nodes', '--url', a.url]);
  expect(stdout).toMatch(/^cluster discedge\nNODE +STATE +URL/);
  expect(stdout).toMatch(new RegExp(`^a +self +${a.url} +52.5,13.3 +scripted +0 +0 +now$`, 'm'));
  expect(stdout).toMatch(new RegExp(`^b +connected +${b.url} +- +scripted +0 +0 +\\d+ s ago$`, 'm'));
  await a.turn({ session_id: 's', turn: 1, prompt: 'hello' });
  expect((await drain(a)).stdout).toMatch(/^everything that a has acknowledged is on another node, too$/m);
  const port = new URL(`nats://${await natsAddress(b)}`).port;
  await b.process.stop();
  await a.turn({ session_id: 's', turn: 2, prompt: 'hello' });
  await expect(drain(a, '--wait', '0')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^discedge: 1 record of a on no other node yet; b is (silent|unreachable)$/m),
  });
  await eventually(async () => expect(await canConnect(Number(port))).toBe(false));
});

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('close', () => socket.destroy());
  });
}
