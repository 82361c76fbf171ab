// Fills a node over every API and every way to wait, then has somebody else ask for one turn: what gives way is told so in its API's
// words, as one that may be sent again, and the one turn is answered.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import WebSocket from 'ws';
import { KeyFolder } from '../../../src/access/key-folder.ts';
import type { Scope } from '../../../src/domain/principals/principal.ts';
import { ENGINES } from '../../../src/edge-node/models/engines.ts';
import { newKey } from '../../../tools/new-key.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { type Answer, type InProcessNode, type Json, startTestNode } from '../../../tools/test-node.ts';
import { ProbedLlm } from '../../support/probed-llm.ts';

/** Three for anybody, of which one is worked on, and one for who has less than others. */
const TURNS_MAX = 4;

const folder = temporaryFolder();
const keysDir = join(folder.path, 'keys');
const made: Record<string, string> = {};
let node: InProcessNode;
let llm: ProbedLlm;

beforeAll(async () => {
  const scopes: Readonly<Record<string, Scope>> = { flood: 'service', good: 'user', watch: 'operator' };
  for (const [user, scope] of Object.entries(scopes))
    made[user] = (await newKey(new KeyFolder(keysDir), { scopes: [scope], user })).text;
  const scripted: typeof ENGINES.scripted = {
    ...ENGINES.scripted,
    start: async (_, { environment }) => {
      llm = new ProbedLlm({ parallel: 1 }, environment);
      return llm;
    },
  };
  node = await startTestNode({ keysDir, turnsInFlightMax: TURNS_MAX }, { engines: { ...ENGINES, scripted } });
});
afterAll(async () => {
  await node.close();
  folder.remove();
});

function ask(key: string, path: string, body: object): Promise<Answer> {
  const headers = { authorization: `Bearer ${made[key]}`, 'content-type': 'application/json' };
  return node.request('POST', path, { headers, body: JSON.stringify(body) });
}

const turn = (key: string) => ask(key, '/completion', { prompt: 'Hello.' });

async function inFlight(count: number): Promise<void> {
  for (;;) {
    const { text } = await node.request('GET', '/metrics', { headers: { authorization: `Bearer ${made.watch}` } });
    if (text.includes(`discedge_turns_in_flight ${count}\n`)) return;
  }
}

/** What comes of the newest turn of a crowd when somebody else asks for one. */
async function displaced<T>(newest: () => Promise<T>): Promise<T> {
  const hold = llm.hold();
  const first = turn('flood');
  await hold.entered;
  const second = turn('flood');
  await inFlight(2);
  const third = newest();
  await inFlight(3);
  const good = turn('good');
  const told = await third;
  hold.release();
  expect([await first, await second, await good].map(({ status }) => status)).toEqual([200, 200, 200]);
  return told;
}

const messages = [{ role: 'user', content: 'Hello.' }];
const APIS: readonly [path: string, body: object][] = [
  ['/completion', { prompt: 'Hello.' }],
  ['/completion', { prompt: 'Hello.', mode: 'client-side' }],
  ['/v1/completions', { prompt: 'Hello.' }],
  ['/v1/chat/completions', { messages }],
  ['/v1/chat/completions', { messages, store: true }],
  ['/v1/responses', { input: 'Hello.' }],
  ['/v1/messages', { messages, max_tokens: 8 }],
];

it.each(APIS.flatMap(([path, body]) => [[path, body] as const, [path, { ...body, stream: true }] as const]))(
  'a turn gives way at %s %j',
  async (path, body) => {
    const { status, headers, body: told } = await displaced(() => ask('flood', path, body));
    expect(status).toBe(503);
    expect(headers.get('retry-after')).toBe('1');
    expect(headers.get('x-should-retry')).toBe('true');
    expect(told.error.message).toMatch(/^the node is full/);
  },
);

it('a turn gives way on a socket, which goes on', async () => {
  const headers = { authorization: `Bearer ${made.flood}` };
  const socket = new WebSocket(`${node.url.replace('http', 'ws')}/v1/responses`, { headers });
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
  const create = () => {
    socket.send(JSON.stringify({ type: 'response.create', input: 'Hi' }));
    return new Promise<Json>((resolve) => {
      socket.on('message', (data) => {
        const event = JSON.parse(String(data));
        if (event.type === 'error' || event.type === 'response.completed') resolve(event);
      });
    });
  };
  expect(await displaced(create)).toMatchObject({ type: 'error', status: 503 });
  expect(await create()).toMatchObject({ type: 'response.completed' });
  socket.close();
});
