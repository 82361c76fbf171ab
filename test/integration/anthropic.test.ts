/**
 * Anthropic's own client on two nodes that share their contexts, one with the demo model in process, one with a stock llama-server
 * behind it: each turn at the other node, and the model still knows; a retry whose first answer was lost has one effect.
 */
import { join } from 'node:path';
import Anthropic from '@anthropic-ai/sdk';
import type { MessageParam } from '@anthropic-ai/sdk/resources';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { DEMO_MODEL_PATH } from '../../src/edge-node/models/demo-model.ts';
import { freePort } from '../../tools/free-port.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import type { RunningServer } from '../../tools/real-servers/running-server.ts';
import { eventsOf, type InProcessNode, type Json, startTestNode } from '../../tools/test-node.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;
const folder = temporaryFolder();
let server: RunningServer;
let nodes: InProcessNode[];

beforeAll(async () => {
  const [program] = await natsPrograms();
  server = await startLlamaServer({ modelPath: DEMO_MODEL_PATH, contextTokens: 2048, slots: 1 });
  const ports = [await freePort(), await freePort()];
  const start = (index: number, flags: object) =>
    startTestNode({
      ...{ nodeId: `e${index + 1}`, store: 'nats', natsProgram: program?.path, dataDir: join(folder.path, `${index}`) },
      ...{ natsListen: `127.0.0.1:${ports[index]}`, ...flags },
      ...(index === 1 && { peers: `e1=127.0.0.1:${ports[0]}` }),
    });
  nodes = [
    await start(0, { llm: undefined, model: 'demo', modelName: 'demo', contextTokens: 2048, parallel: 1 }),
    await start(1, { llm: server.url, modelName: 'demo' }),
  ];
  for (const node of nodes)
    await vi.waitFor(
      async () =>
        expect((await node.get('/nodes')).body.nodes.slice(1)).toMatchObject([{ state: 'connected', lag: 0 }]),
      { timeout: WAIT_MS, interval: 50 },
    );
});
afterAll(async () => {
  for (const node of nodes ?? []) await node.close();
  await server?.stop();
  folder.remove();
});

const clientOf = (index: number, options: object = {}) =>
  new Anthropic({ baseURL: nodes[index]?.url as string, apiKey: 'any', maxRetries: 2, ...options });
const read = async (index: number, path: string): Promise<Json> =>
  (await (nodes[index] as InProcessNode).get(path)).body;
const streamed = (text: string): string =>
  eventsOf(text.replaceAll(/^event: .*\n/gm, ''))
    .map(({ delta }) => delta?.text ?? '')
    .join('');
const said = ({ content }: Json): string => content.map(({ text = '' }: Json) => text).join('');

test('a conversation whose client knows nothing of turns roams, and the model still knows', async () => {
  const messages: MessageParam[] = [];
  let sessionId: string | undefined;
  for (const [index, text] of ['My name is Zorvik.', 'Thank you.', 'What is my name?', 'Thank you.'].entries()) {
    messages.push({ role: 'user', content: text });
    const body = { model: 'demo', max_tokens: 48, temperature: 0, messages };
    const client = clientOf(index % 2);
    const reply: Json = await (index < 2 ? client.messages.create(body) : client.messages.stream(body).finalMessage());
    if (index === 0) sessionId = reply.discedge.session_id;
    if (index < 2)
      expect(reply.discedge).toMatchObject({
        ...{ session_id: sessionId, turn: index + 1, based_on_turn: index, node: `e${(index % 2) + 1}` },
      });
    if (index === 2) expect(said(reply)).toContain('Zorvik');
    messages.push({ role: 'assistant', content: reply.content });
    // A chat waits for a quarter of a second for what is on its way; this machine may be busier than that.
    await read((index + 1) % 2, `/sessions/${sessionId}?turn=${index + 1}&max_wait_ms=30000`);
  }
  const { turns, branches } = await read(1, `/sessions/${sessionId}`);
  expect([turns.length, branches]).toEqual([4, []]);
  expect(turns.map(({ node }: Json) => node)).toEqual(['e1', 'e2', 'e1', 'e2']);
});

test('a retry by the client has one effect and an equal reply, streamed or not', async () => {
  for (const isStream of [false, true]) {
    let lost: string | undefined;
    const losing = async (input: string, init: RequestInit) => {
      const response = await fetch(input, init);
      if (lost !== undefined) return response;
      lost = await response.text();
      throw new TypeError('the connection broke');
    };
    const user_id = `retry-${isStream}`;
    const body = {
      model: 'demo',
      max_tokens: 24,
      messages: [{ role: 'user' as const, content: 'My name is Bo.' }],
      metadata: { user_id },
    };
    const client = clientOf(0, { fetch: losing });
    const reply: Json = await (isStream ? client.messages.stream(body).finalMessage() : client.messages.create(body));
    expect(said(reply)).toBe(isStream ? streamed(lost as string) : said(JSON.parse(lost as string)));
    const { data } = await read(0, `/sessions?user_id=${user_id}`);
    expect(data.map(({ turns }: Json) => turns)).toEqual([1]);
  }
});
