/**
 * Three edge nodes as users start them, with real nats-servers between: clients that give up and send the same turn elsewhere,
 * at two nodes at once, or something else as the same turn. One turn has one effect, and every client gets that one's reply.
 */
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { freePort } from '../../tools/free-port.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type InProcessNode, type Json, startTestNode } from '../../tools/test-node.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;
const SESSIONS = 40;
/** Long enough for the same turn to come in elsewhere meanwhile. */
const LONG = { ignore_eos: true, n_predict: 1_000 };

let program: string;
let folder: ReturnType<typeof temporaryFolder>;
let nodes: InProcessNode[];

beforeAll(async () => {
  program = (await natsPrograms())[0]?.path as string;
});
beforeEach(async () => {
  folder = temporaryFolder();
  nodes = [];
  const port = await freePort();
  for (const nodeId of ['e1', 'e2', 'e3']) {
    const natsPort = nodeId === 'e1' ? port : await freePort();
    const place = { store: 'nats', natsProgram: program, natsListen: `127.0.0.1:${natsPort}` };
    const peers = nodeId === 'e1' ? {} : { peers: `e1=127.0.0.1:${port}` };
    // A machine that is busy with other tests is not a cut link.
    const waits = { arbiterWaitMs: '20000', maxWaitMs: '20000', maxWaitMsLimit: '60000' };
    nodes.push(await startTestNode({ nodeId, dataDir: join(folder.path, nodeId), ...place, ...peers, ...waits }));
  }
  for (const node of nodes)
    await eventually(async () => {
      const peers = (await node.get('/nodes')).body.nodes.slice(1);
      expect(peers).toMatchObject([{ state: 'connected' }, { state: 'connected' }]);
    });
});
afterEach(async () => {
  for (const node of nodes.reverse()) await node.close();
  folder.remove();
});

const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: WAIT_MS, interval: 50 });
const at = (index: number) => nodes[index] as InProcessNode;

/** Asks, and leaves once the reply has begun. */
async function giveUp(node: InProcessNode, body: Json): Promise<void> {
  const leaving = new AbortController();
  const response = await fetch(`${node.url}/completion`, {
    method: 'POST',
    body: JSON.stringify({ ...body, stream: true }),
    headers: { 'content-type': 'application/json' },
    signal: leaving.signal,
  });
  await response.body?.getReader().read();
  leaving.abort();
}

/** How many turns the LLMs of all nodes have answered. */
async function effects(): Promise<number> {
  const texts = await Promise.all(nodes.map(async (node) => (await node.get('/metrics')).text));
  const counts = texts.flatMap((text) =>
    [...text.matchAll(/^discedge_turns_total\{[^}]*outcome="ok"[^}]*\} (\d+)/gm)].map((match) => Number(match[1])),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

async function expectOneLine(session: string, contextId: string): Promise<void> {
  for (const node of nodes)
    await eventually(async () => {
      const { body } = await node.get(`/sessions/${session}`);
      expect(body).toMatchObject({ context_id: contextId, branches: [] });
    });
}

test('given up at e1 and sent to e2: one effect, and its reply, with a context_id and with the number alone', async () => {
  for (let n = 0; n < SESSIONS; n++) {
    const session_id = `s${n}`;
    const first = await at(0).turn({ session_id, turn: 1, prompt: 'hello' });
    expect(first.arbitrated).toBe(true);
    const place = n % 2 === 0 ? { turn: 2, context_id: first.context_id } : { turn: 2 };
    const body = { session_id, ...place, prompt: 'pay 5 EUR', ...LONG };
    await giveUp(at(0), body);
    const reply = await at(1).turn(body);
    expect(reply).toMatchObject({ replayed: true, turn: 2, based_on_turn: 1 });
    await expectOneLine(session_id, reply.context_id);
  }
  expect(await effects()).toBe(2 * SESSIONS);
});

test('a third node is sent to the one that was let answer, wherever the turn before was written', async () => {
  const first = await at(0).turn({ session_id: 's', turn: 1, prompt: 'hello' });
  const body = { session_id: 's', turn: 2, context_id: first.context_id, prompt: 'again', ...LONG };
  await giveUp(at(1), body);
  const [at3, at1] = await Promise.all([at(2).turn(body), at(0).turn(body)]);
  expect(at3).toMatchObject({ replayed: true });
  expect(at1).toMatchObject({ replayed: true, context_id: at3.context_id });
  expect(await effects()).toBe(2);
  // It has moved, nothing is in doubt, and the next turn goes on as ever.
  const next = await at(2).turn({ session_id: 's', turn: 3, context_id: at3.context_id, prompt: 'on' });
  expect(next).toMatchObject({ based_on_turn: 2, arbitrated: true });
});

test('a first turn sent to all nodes at once has one effect', async () => {
  for (let n = 0; n < 10; n++) {
    const body = { session_id: `s${n}`, turn: 1, prompt: 'hello', ...LONG };
    const replies = await Promise.all(nodes.map((node) => node.turn(body)));
    expect(new Set(replies.map(({ context_id }) => context_id)).size).toBe(1);
    expect(replies.filter(({ replayed }) => !replayed)).toMatchObject([{ arbitrated: true }]);
  }
  expect(await effects()).toBe(10);
});

test('another message as a turn that runs elsewhere is refused, as at one node', async () => {
  const first = await at(0).turn({ session_id: 's', turn: 1, prompt: 'hello' });
  const body = { session_id: 's', turn: 2, context_id: first.context_id, ...LONG };
  await giveUp(at(0), { ...body, prompt: 'one' });
  const other = await at(1).post('/completion', { ...body, prompt: 'another' });
  expect(other).toMatchObject({ status: 412, body: { error: { type: 'turn_conflict' } } });
});

test('cancelled where it was let answer, the turn is free at once elsewhere', async () => {
  const first = await at(0).turn({ session_id: 's', turn: 1, prompt: 'hello' });
  const body = { session_id: 's', turn: 2, context_id: first.context_id, prompt: 'again', ...LONG };
  await giveUp(at(1), body);
  const cancelled = (await at(1).post('/sessions/s/cancel', {})).body.cancelled;
  expect(await at(2).turn(body)).toMatchObject({ replayed: !cancelled, turn: 2 });
});

test('who wrote the turn before is gone: another node arbitrates, and the reply says that this is not certain', async () => {
  const first = await at(0).turn({ session_id: 's', turn: 1, prompt: 'hello', write_concern: 'replicated' });
  await Promise.all(
    [at(1), at(2)].map((node) => eventually(async () => expect((await node.get('/sessions/s')).status).toBe(200))),
  );
  await nodes.shift()?.close();
  for (const node of nodes)
    await eventually(async () =>
      expect((await node.get('/nodes')).text).not.toMatch(/"id":"e1"[^}]*"state":"connected"/),
    );
  const body = { session_id: 's', turn: 2, context_id: first.context_id, prompt: 'again', ...LONG };
  const replies = await Promise.all(nodes.map((node) => node.turn(body)));
  expect(new Set(replies.map(({ context_id }) => context_id)).size).toBe(1);
  expect(replies.filter(({ replayed }) => !replayed)).toMatchObject([{ arbitrated: false }]);
});
