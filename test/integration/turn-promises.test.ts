/**
 * What a turn promises across nodes, kept by two edge nodes as users start them, with real nats-servers between: the write
 * concern where the peer is there and where it is not, forks, and the branches of a session that both went on with alone.
 */
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { DiscedgeClient } from '../../src/client/client.ts';
import { freePort } from '../../tools/free-port.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type InProcessNode, type Json, type NodeUnderTest, startTestNode } from '../../tools/test-node.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;

let program: string;
let folder: ReturnType<typeof temporaryFolder>;
const opened = new Map<string, InProcessNode>();
/** Of each node's nats-server: the same when it comes back. */
let ports: Record<string, number>;

beforeAll(async () => {
  program = (await natsPrograms())[0]?.path as string;
});
beforeEach(async () => {
  folder = temporaryFolder();
  ports = { a: await freePort(), b: await freePort() };
});
afterEach(async () => {
  for (const nodeId of [...opened.keys()]) await stop(nodeId);
  folder.remove();
});

async function start(nodeId: string, flags: Record<string, unknown> = {}): Promise<InProcessNode> {
  const own = { nodeId, store: 'nats', natsProgram: program, natsListen: `127.0.0.1:${ports[nodeId]}` };
  const node = await startTestNode({ ...own, dataDir: join(folder.path, nodeId), ...flags });
  opened.set(nodeId, node);
  return node;
}

async function stop(nodeId: string): Promise<void> {
  await opened.get(nodeId)?.close();
  opened.delete(nodeId);
}

const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: WAIT_MS, interval: 50 });

/** `b`, which is told of `a`; resolves when both have found each other. */
async function startBeside(a: NodeUnderTest, flags: Record<string, unknown> = {}): Promise<InProcessNode> {
  const b = await start('b', { peers: `a=127.0.0.1:${ports.a}`, ...flags });
  for (const node of [a, b]) {
    await eventually(async () => {
      const peers = (await node.get('/nodes')).body.nodes.slice(1);
      expect(peers).toMatchObject([{ state: 'connected', lag: 0 }]);
    });
  }
  return b;
}

const LONG = { replicated_wait_ms: 30_000 };

test('replicated: when the reply ends, the peer has the turn', async () => {
  const a = await start('a', { writeConcern: 'replicated', replicatedWaitMs: '30000' });
  const b = await startBeside(a);
  for (const [index, stream] of [false, true, false].entries()) {
    const reply = await a.turn({ session_id: 's', turn: index + 1, prompt: 'x', stream });
    expect(reply).toMatchObject({ write_concern: 'replicated', replicas: 2 });
    expect((await b.get('/sessions/s')).body.context_id).toBe(reply.context_id);
  }
  const replay = await b.turn({ session_id: 's', turn: 3, prompt: 'x', write_concern: 'replicated', ...LONG });
  expect(replay).toMatchObject({ replayed: true, write_concern: 'replicated', replicas: 2 });
  expect((await a.get('/metrics')).text).toMatch(/^discedge_replicated_wait_seconds_count\{reached="replicated"\} 3$/m);
});

test('replicated, with the peer gone: the turn stands, the reply says so, and a retry tells when the peer is back', async () => {
  const a = await start('a');
  await startBeside(a);
  await a.turn({ session_id: 's', turn: 1, prompt: 'x', write_concern: 'replicated', ...LONG });
  await stop('b');
  const ask = { session_id: 's', turn: 2, prompt: 'y', write_concern: 'replicated' };
  const alone = await a.turn({ ...ask, replicated_wait_ms: 200 });
  expect(alone).toMatchObject({ turn: 2, write_concern: 'local', replicas: 1 });
  await startBeside(a);
  expect(await a.turn({ ...ask, ...LONG })).toMatchObject({
    replayed: true,
    context_id: alone.context_id,
    write_concern: 'replicated',
    replicas: 2,
  });
});

test('a fork is a session of its own on every node, and outlives its source', async () => {
  const a = await start('a');
  const b = await startBeside(a);
  for (const [index, prompt] of ['one', 'two', 'three'].entries()) {
    await a.turn({ session_id: 's', turn: index + 1, prompt });
  }
  // Asked of the node that may not have all of it yet.
  const fork = (await b.post('/sessions/s/fork', { turn: 2, session_id: 'fork', max_wait_ms: 30_000 })).body;
  expect(fork).toMatchObject({ turn: 2, node: 'b', forked_from: { session_id: 's', turn: 2 } });
  await a.request('DELETE', '/sessions/s');
  await eventually(async () => expect((await b.get('/sessions/s')).status).toBe(410));
  const on = { session_id: 'fork', turn: 3, context_id: fork.context_id, prompt: 'on', max_wait_ms: 30_000 };
  expect(await a.turn(on)).toMatchObject({ turn: 3, based_on_turn: 2, content: 'Turn 3: on' });
  const { turns } = (await a.get('/sessions/fork')).body;
  expect(turns.map(({ user, node }: Json) => [user, node])).toEqual([
    ['one', 'b'],
    ['two', 'b'],
    ['on', 'a'],
  ]);
});

test('both went on alone: every node shows both branches alike, and each client goes on with its own', async () => {
  let a = await start('a');
  let b = await startBeside(a);
  const shared = await a.turn({ session_id: 's', turn: 1, prompt: 'shared', write_concern: 'replicated', ...LONG });
  expect(shared.replicas).toBe(2);
  await stop('b');
  const onA = await a.turn({ session_id: 's', turn: 2, prompt: 'at a' });
  await stop('a');
  b = await start('b');
  const onB = await b.turn({ session_id: 's', turn: 2, prompt: 'at b' });
  await stop('b');
  a = await start('a');
  b = await startBeside(a);
  const [first, second] = [onA.context_id, onB.context_id].toSorted();
  for (const node of [a, b]) {
    await eventually(async () =>
      expect((await node.get('/sessions/s')).body).toMatchObject({
        context_id: first,
        branches: [{ context_id: second, turn: 2, parts_after: 1, parts_from: shared.context_id }],
      }),
    );
  }
  // The branch that is not the main line grows longer, and is it then; who is on the other stays there.
  await a.turn({ session_id: 's', context_id: second, turn: 3, prompt: 'more', write_concern: 'replicated', ...LONG });
  const turns: Json[] = (await b.get('/sessions/s')).body.turns;
  expect(turns[1].context_id).toBe(second);
  const on = await b.turn({ session_id: 's', context_id: first, turn: 3, prompt: 'on' });
  expect(on.based_on_turn).toBe(2);
  const shown = (await b.get('/sessions/s')).body;
  const all: Json[] = [...shown.turns, ...shown.branches.flatMap((branch: Json) => branch.turns)];
  expect(all).toHaveLength(5);
  expect(all.find(({ context_id }) => context_id === on.context_id)).toMatchObject({ parent: first, node: 'b' });
});

test("the paper's policy looks three times and gives up", async () => {
  const a = await start('a', { turnGate: 'fixed' });
  const refused = await a.post('/completion', { session_id: 's', turn: 2, prompt: 'x', max_wait_ms: 30_000 });
  expect(refused).toMatchObject({ status: 503, body: { error: { type: 'context_stale' } } });
  await a.turn({ session_id: 's', turn: 1, prompt: 'x' });
  const ask = { session_id: 's', turn: 3, prompt: 'x', consistency: 'available' };
  const reply = await a.turn(ask);
  expect(reply).toMatchObject({ turn: 2, based_on_turn: 1, retries: 3 });
  expect(reply.waited_ms).toBeGreaterThan(0);
});

test('deleted at the other node right after turn 1, it is deleted: the request says what its client has seen', async () => {
  const a = await start('a');
  const b = await startBeside(a);
  for (let n = 0; n < 20; n++) {
    const { context_id } = await a.turn({ session_id: `s${n}`, turn: 1, prompt: 'x' });
    const seen = n % 2 === 0 ? 'turn=1' : `context_id=${context_id}`;
    expect((await b.get(`/sessions/s${n}?${seen}`)).body.turns).toHaveLength(1);
    expect((await b.request('DELETE', `/sessions/s${n}?${seen}`)).status).toBe(200);
    await eventually(async () => expect((await a.get(`/sessions/s${n}`)).status).toBe(410));
  }
  expect((await b.get('/sessions/none?turn=1&max_wait_ms=200')).body.error).toMatchObject({ type: 'context_stale' });
});

test("a client's session that moves sees its own writes there: it reads, exports and deletes right after its turn", async () => {
  const a = await start('a');
  const b = await startBeside(a);
  const client = new DiscedgeClient({ nodes: [a.url, b.url], retriesMax: 0 });
  for (let n = 0; n < 50; n++) {
    const session = client.session();
    await session.send('x');
    session.moveTo(b.url);
    if (n % 5 === 0) expect(await session.history()).toHaveLength(1);
    if (n % 5 === 1) expect((await session.export()).turns).toHaveLength(1);
    await session.delete();
    await eventually(async () => expect((await a.get(`/sessions/${session.sessionId}`)).status).toBe(410));
  }
});
