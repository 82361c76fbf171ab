// Puts something between OpenAI's clients and a node that fails them after the node has had the request: with a 409, a 500, a
// reset, a socket that is cut in the middle. The clients send it again by themselves; the node must answer it once.
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText } from 'ai';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { type InProcessNode, type Json, startTestNode } from '../../../../tools/test-node.ts';

/** What becomes of a reply: a status in its place, its connection reset, or both cut before it has come. */
type Fault = 409 | 500 | 'reset' | 'cut early';

let node: InProcessNode;
let between: Server;
let baseURL: string;
let faults: Fault[] = [];
let passed = 0;

beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.close());

beforeEach(async () => {
  [faults, passed] = [[], 0];
  between = createServer((incoming, outgoing) => {
    passed++;
    const fault = faults.shift();
    const chunks: Buffer[] = [];
    const onward = request(`${node.url}${incoming.url}`, { method: 'POST', headers: incoming.headers }, (answer) => {
      if (fault === undefined) {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
        return;
      }
      answer.on('data', (chunk) => chunks.push(chunk));
      answer.on('end', () => {
        if (fault === 'reset') incoming.socket.resetAndDestroy();
        else outgoing.writeHead(fault as number).end('{}');
      });
    });
    onward.on('error', () => {});
    incoming.pipe(onward);
    if (fault !== 'cut early') return;
    void turnIsThere().then(() => {
      onward.destroy();
      incoming.socket.resetAndDestroy();
    });
  });
  await new Promise<void>((listening) => between.listen(0, '127.0.0.1', listening));
  baseURL = `http://127.0.0.1:${(between.address() as AddressInfo).port}/v1`;
});
afterEach(() => {
  between.closeAllConnections();
  between.close();
});

async function turnIsThere(): Promise<void> {
  const isThere = async () => /^discedge_turns_in_flight [1-9]/m.test((await node.get('/metrics')).text);
  while (between.listening && !(await isThere())) await Promise.resolve();
}

let conversations = 0;
const sessionsOf = async (user: string): Promise<Json[]> => (await node.get(`/sessions?user_id=${user}`)).body.data;

it.each<[string, Fault[]]>([
  ['a 409', [409]],
  ['a 500', [500]],
  ['a reset', ['reset']],
  ['one after the other', [500, 'reset']],
])('openai: %s, on a first turn and on a later one', async (_, wrong) => {
  const user = `user-${++conversations}`;
  const openai = new OpenAI({ baseURL, apiKey: 'any', maxRetries: 2 });
  const messages: OpenAI.ChatCompletionMessageParam[] = [];
  for (let turn = 1; turn <= 3; turn++) {
    faults = [...wrong];
    messages.push({ role: 'user', content: `message ${turn}` });
    const completion: Json = await openai.chat.completions.create({ model: 'any', messages, user });
    const [{ message, discedge }] = completion.choices;
    expect(message.content).toBe(`Turn ${turn}: message ${turn}`);
    expect(discedge).toMatchObject({ turn, replayed: true });
    messages.push(message);
  }
  expect(passed).toBe(3 * (wrong.length + 1));
  const [session, ...others] = await sessionsOf(user);
  expect([session, others]).toMatchObject([{ turns: 3 }, []]);
  const { branches } = (await node.get(`/sessions/${session.session_id}?user_id=${user}`)).body;
  expect(branches).toEqual([]);
});

it('ai, which marks nothing: a reply that it has not read is the same turn', async () => {
  const model = createOpenAICompatible({ name: 'edge', baseURL, apiKey: 'any' })('any');
  faults = ['cut early'];
  const before = (await sessionsOf('anonymous')).length;
  const { text } = await generateText({ model, prompt: 'x'.repeat(5_000), maxOutputTokens: 5_000 });
  expect(text).toMatch(/^Turn 1: x+$/);
  expect(passed).toBe(2);
  expect(await sessionsOf('anonymous')).toHaveLength(before + 1);
});
