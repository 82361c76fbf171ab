// Two nodes over real nats-servers, and a client that goes from one to the other: tries to have its context evaluated again
// where it was evaluated ahead of need. And drafts of a message, with the demo model: tries to have one evaluated twice.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import WebSocket from 'ws';
import { DEMO_MODEL_PATH } from '../../src/edge-node/models/demo-model.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type InProcessNode, type Json, startTestNode } from '../../tools/test-node.ts';

const DEMO = { llm: undefined, model: DEMO_MODEL_PATH, contextTokens: 2048, parallel: 2, threads: 1 };
const LONG = 'The robot has a lamp and a cup of tea. '.repeat(12);

let folder: ReturnType<typeof temporaryFolder>;
const opened: Array<() => Promise<unknown>> = [];
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
  folder.remove();
});

async function start(nodeId: string, flags: Record<string, unknown>): Promise<InProcessNode> {
  const node = await startTestNode({ nodeId, dataDir: join(folder.path, nodeId), ...flags });
  opened.push(() => node.close());
  return node;
}

const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 60_000, interval: 50 });
const own = async (node: InProcessNode): Promise<Json> => (await node.get('/nodes?probe=false')).body.nodes[0];

async function pair(flags: Record<string, unknown>): Promise<{ a: InProcessNode; b: InProcessNode }> {
  const natsProgram = (await natsPrograms())[0]?.path as string;
  const shared = { store: 'nats', natsProgram, natsListen: '127.0.0.1:0', ...flags };
  const a = await start('a', shared);
  const b = await start('b', { ...shared, peers: `a=${new URL((await own(a)).nats_url).host}` });
  await eventually(async () => {
    for (const node of [a, b]) expect((await node.get('/nodes')).body.nodes[1]).toMatchObject({ state: 'connected' });
  });
  return { a, b };
}

describe('a client that goes to another node', () => {
  test('finds its context warm there, and the node says so in counts', async () => {
    const { a, b } = await pair({ ...DEMO, warming: 'all' });
    const session = { session_id: 's', max_wait_ms: 30_000, n_predict: 8 };
    await a.turn({ ...session, turn: 1, prompt: LONG });
    const second = await a.turn({ ...session, turn: 2, prompt: 'And a window.' });
    const { cache_n, prompt_n, predicted_n } = second.timings;
    await eventually(async () => {
      const [warming] = (await own(b)).warming;
      expect(warming.tokens_held).toBeGreaterThanOrEqual(cache_n + prompt_n + predicted_n);
    });
    const { timings } = await b.turn({ ...session, turn: 3, prompt: 'What has it?' });
    expect(timings.warmed_n).toBeGreaterThan(80);
    expect(timings.prompt_n).toBeLessThan(50);
    expect((await own(b)).warming).toMatchObject([{ policy: 'all', handovers_warm: 1, handovers_cold: 0 }]);
    const metrics = (await b.get('/metrics')).text;
    expect(metrics).toMatch(/^discedge_warming_handovers\{model="demo",found="warm"\} 1$/m);
    expect(metrics).toMatch(/^discedge_warming_tokens\{model="demo",kind="used"\} [1-9]/m);
  });

  test('is warm where it says that it comes, however often, and where it named the node with its turn', async () => {
    const { a, b } = await pair({ warming: 'hinted' });
    for (const session_id of ['said', 'named', 'neither']) {
      const next_nodes = session_id === 'named' ? ['nowhere', 'b'] : [];
      await a.turn({ session_id, turn: 1, prompt: LONG, n_predict: 8, next_nodes });
    }
    await eventually(async () => expect((await b.get('/sessions/neither')).status).toBe(200));
    const comes = await Promise.all(Array.from({ length: 100 }, () => b.post('/sessions/said/coming', {})));
    expect(new Set(comes.map(({ text }) => text))).toEqual(new Set(['{"session_id":"said","turn":1,"warms":true}']));
    await eventually(async () => expect((await own(b)).warming[0].tokens_held).toBeGreaterThan(800));
    const found = async (session_id: string) =>
      (await b.turn({ session_id, turn: 2, prompt: 'Hi.', n_predict: 4, max_wait_ms: 30_000 })).timings.warmed_n;
    expect(await found('said')).toBeGreaterThan(400);
    expect(await found('named')).toBeGreaterThan(400);
    expect(await found('neither')).toBe(0);
  });
});

test('what a node has learned of movement outlives it, and names nobody', async () => {
  const natsProgram = (await natsPrograms())[0]?.path as string;
  const flags = { store: 'nats', natsProgram, natsListen: '127.0.0.1:0', warming: 'predicted' };
  const after = async (session_id: string): Promise<number> => {
    const node = await start('a', flags);
    for (let turn = 1; turn <= 2; turn++) await node.turn({ session_id, turn, prompt: 'Hi.', n_predict: 4 });
    await node.close();
    const text = await readFile(join(folder.path, 'a', 'movement.json'), 'utf8');
    expect(text).not.toContain(session_id);
    const [learned] = Object.values(JSON.parse(text)) as Json[];
    return Object.fromEntries(learned.situations).a[0][1];
  };
  expect(await after('first-session')).toBe(1);
  expect(await after('second-session')).toBe(2);
});

describe('a draft of the next message, with the demo model', () => {
  let node: InProcessNode;
  beforeEach(async () => {
    node = await start('a', DEMO);
  });

  test('is evaluated once: the turn that follows evaluates what differs', async () => {
    await node.turn({ session_id: 's', turn: 1, prompt: LONG, n_predict: 4 });
    const next = { session_id: 's', turn: 2 };
    const draft = await node.turn({ ...next, prompt: `${LONG} It is`, n_predict: 0 });
    expect(draft.timings.prompt_n).toBeGreaterThan(80);
    const same = await node.turn({ ...next, prompt: `${LONG} It is`, n_predict: 0 });
    expect(same.timings.prompt_n).toBeLessThan(10);
    const { timings } = await node.turn({ ...next, prompt: `${LONG} It is late.`, n_predict: 4 });
    expect(timings.prompt_n).toBeLessThan(30);
    expect(timings.cache_n).toBeGreaterThan(draft.timings.prompt_n);
  });

  test('over a WebSocket, with generate: false, too', async () => {
    const socket = new WebSocket(`${node.url.replace('http', 'ws')}/v1/responses`);
    opened.push(async () => socket.terminate());
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    /** The response that a message comes to. */
    const ask = (fields: Record<string, unknown>) =>
      new Promise<Json>((resolve, reject) => {
        const read = (data: unknown) => {
          const event = JSON.parse(String(data));
          if (event.type === 'error' || event.type === 'response.failed') reject(new Error(String(data)));
          if (event.type !== 'response.completed' && event.type !== 'response.incomplete') return;
          socket.off('message', read);
          resolve(event.response);
        };
        socket.on('message', read);
        socket.send(JSON.stringify({ type: 'response.create', max_output_tokens: 4, ...fields }));
      });
    const draft = await ask({ input: LONG, generate: false });
    expect(draft.usage.input_tokens).toBeGreaterThan(80);
    const { usage } = await ask({ input: LONG });
    expect(usage.input_tokens_details.cached_tokens).toBeGreaterThan(usage.input_tokens - 10);
  });
});
