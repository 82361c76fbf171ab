// Asks more of a node than its keys allow, over every API and with the stock clients of OpenAI and Anthropic: what is refused is
// refused in the API's words with the headers that its clients act upon, and nobody else is.
import { type IncomingHttpHeaders, request } from 'node:http';
import { join } from 'node:path';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { KeyFolder } from '../../../src/access/key-folder.ts';
import type { Limits } from '../../../src/domain/principals/limits.ts';
import type { Scope } from '../../../src/domain/principals/principal.ts';
import { ENGINES } from '../../../src/edge-node/models/engines.ts';
import { durationText } from '../../../src/http/access/limit-headers.ts';
import { newKey } from '../../../tools/new-key.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { type Answer, type InProcessNode, startTestNode } from '../../../tools/test-node.ts';
import { ProbedLlm } from '../../support/probed-llm.ts';

const FIELDS: Readonly<Record<string, readonly string[]>> = {
  '/v1/completions': ['prompt', 'max_tokens'],
  '/v1/responses': ['input'],
  '/v1/messages': ['messages', 'max_tokens'],
  '/v1/embeddings': ['input'],
  '/completion': ['prompt'],
};

const folder = temporaryFolder();
const keysDir = join(folder.path, 'keys');
const keys = new KeyFolder(keysDir);
let node: InProcessNode;
let llm: ProbedLlm;
const made: Record<string, string> = {};

async function makeKey(name: string, limits: Limits | undefined, scope: Scope = 'user'): Promise<void> {
  made[name] = (await newKey(keys, { scopes: [scope], user: name, ...(limits && { limits }) })).text;
}

beforeAll(async () => {
  for (const name of ['plain', 'openai', 'anthropic', 'socket']) await makeKey(name, { requestsPerSecond: 1 });
  await makeKey('many', { requestsPerSecond: 1000, idsPerMinute: 100_000 });
  await makeKey('turns', { concurrentTurns: 1 });
  await makeKey('overdrawn', { idsPerMinute: 1 });
  await makeKey('own', { userTurns: 1 });
  await makeKey('shop', { userTurns: 1 }, 'service');
  for (const name of ['ids', 'ids-openai', 'cancelled', 'vectors']) await makeKey(name, { idsPerMinute: 20 });
  await makeKey('free', undefined);
  const scripted = {
    ...ENGINES.scripted,
    start: async (_: unknown, { environment }: { environment: ConstructorParameters<typeof ProbedLlm>[1] }) => {
      llm = new ProbedLlm({}, environment);
      return llm;
    },
  };
  node = await startTestNode({ keysDir }, { engines: { ...ENGINES, scripted } });
});
afterAll(async () => {
  await node.close();
  folder.remove();
});

function ask(method: string, path: string, key: string, body?: object): Promise<Answer> {
  const headers = { authorization: `Bearer ${made[key]}`, ...(body && { 'content-type': 'application/json' }) };
  return node.request(method, path, { headers, ...(body && { body: JSON.stringify(body) }) });
}

const turn = (key: string, fields: object = {}) => ask('POST', '/completion', key, { prompt: 'Hello.', ...fields });
const openai = (key: string) => new OpenAI({ baseURL: `${node.url}/v1`, apiKey: made[key], maxRetries: 0 });
const chat = (client: OpenAI, fields: object = {}) =>
  client.chat.completions.create({ model: 'scripted', messages: [{ role: 'user', content: 'Hi' }], ...fields });

describe('requests', () => {
  it('beyond the limit get 429 and when to come again, and are told what is left', async () => {
    const first = await turn('plain');
    expect(first.status).toBe(200);
    expect(first.headers.get('x-ratelimit-limit-requests')).toBe('1');
    expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('0');
    // Some of the second may have passed before the headers were made.
    expect(first.headers.get('x-ratelimit-reset-requests')).toMatch(/^(1s|\d{1,3}ms)$/);
    const { status, body, headers } = await untilRefused(() => turn('plain'));
    expect({ status, type: body.error.type }).toEqual({ status: 429, type: 'rate_limited' });
    expect(headers.get('x-should-retry')).toBe('true');
    expect(Number(headers.get('retry-after'))).toBe(1);
    expect(Number(headers.get('retry-after-ms'))).toBeLessThanOrEqual(1_000);
    expect(headers.get('x-ratelimit-remaining-requests')).toBe('0');
  });

  it('are counted to their principal alone, whatever route and API', async () => {
    await untilRefused(() => ask('GET', '/sessions', 'plain'));
    const others = await Promise.all([1, 2, 3].map(() => turn('free')));
    expect(others.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect([...(others[0] as Answer).headers.keys()].filter((name) => /ratelimit/.test(name))).toEqual([]);
  });

  it("are refused in OpenAI's words, and its client comes again when it is told to", async () => {
    const client = openai('openai');
    const { response } = await chat(client).withResponse();
    expect(response.headers.get('x-ratelimit-limit-requests')).toBe('1');
    const refused = (await refusalOf(() => chat(client))) as InstanceType<typeof OpenAI.RateLimitError>;
    expect(refused).toBeInstanceOf(OpenAI.RateLimitError);
    expect(refused).toMatchObject({ code: 'rate_limit_exceeded', type: 'rate_limit_error' });
    const patient = new OpenAI({ baseURL: `${node.url}/v1`, apiKey: made.openai, maxRetries: 3 });
    expect((await chat(patient)).choices).toHaveLength(1);
  });

  it("are refused in Anthropic's words, with its headers", async () => {
    const client = new Anthropic({ baseURL: node.url, apiKey: made.anthropic ?? '', maxRetries: 0 });
    const say = () =>
      client.messages.create({ model: 'scripted', max_tokens: 8, messages: [{ role: 'user', content: 'Hi' }] });
    const { response } = await say().withResponse();
    expect(response.headers.get('anthropic-ratelimit-requests-limit')).toBe('1');
    expect(response.headers.get('anthropic-ratelimit-requests-remaining')).toBe('0');
    const reset = response.headers.get('anthropic-ratelimit-requests-reset') ?? '';
    expect(reset).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    const refused = (await refusalOf(say)) as InstanceType<typeof Anthropic.RateLimitError>;
    expect(refused).toBeInstanceOf(Anthropic.RateLimitError);
    expect(refused.error).toMatchObject({ type: 'error', error: { type: 'rate_limit_error', code: 'rate_limited' } });
    expect(refused.headers?.get('retry-after')).toBe('1');
  });

  it('over a socket are events', async () => {
    const headers = { authorization: `Bearer ${made.socket}` };
    const socket = new WebSocket(`${node.url.replace('http', 'ws')}/v1/responses`, { headers });
    const refused = new Promise<{ status: number; error: { code: string } }>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('message', (data) => {
        const event = JSON.parse(String(data));
        if (event.type === 'error') resolve(event);
      });
      socket.on('open', () => {
        for (let i = 0; i < 8; i++) socket.send(JSON.stringify({ type: 'response.create', input: 'Hi' }));
      });
    });
    expect(await refused).toMatchObject({ status: 429, error: { code: 'rate_limit_exceeded' } });
    socket.close();
  });

  it('tell of ids as of tokens, on streams as well', async () => {
    const { headers } = await turn('many', { stream: true });
    expect(headers.get('x-ratelimit-limit-tokens')).toBe('100000');
    expect(Number(headers.get('x-ratelimit-remaining-tokens'))).toBe(100_000);
  });
});

describe('turns at once', () => {
  it('are refused beyond the limit, in the background as well, and taken again once one has ended', async () => {
    const hold = llm.hold();
    const first = ask('POST', '/v1/responses', 'turns', { input: 'Hi', background: true });
    await hold.entered;
    expect((await turn('turns')).body.error.type).toBe('rate_limited');
    expect((await turn('turns', { stream: true })).status).toBe(429);
    expect((await turn('free')).status).toBe(200);
    hold.release();
    const { id } = (await first).body;
    await until(async () => (await ask('GET', `/v1/responses/${id}`, 'turns')).body.status === 'completed');
    expect((await turn('turns')).status).toBe(200);
  });

  it('are counted while a client that left is still served', async () => {
    const hold = llm.hold();
    const leaving = new AbortController();
    const headers = { authorization: `Bearer ${made.turns}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ prompt: 'Hello.' });
    const left = node.request('POST', '/completion', { headers, body, signal: leaving.signal }).catch(() => 'left');
    await hold.entered;
    leaving.abort();
    expect(await left).toBe('left');
    expect((await turn('turns')).status).toBe(429);
    hold.release();
    await until(async () => (await turn('turns')).status === 200);
  });

  it('of one user of a service leave room for the others, kept or not', async () => {
    for (const fields of [{}, { mode: 'client-side' }]) {
      const hold = llm.hold();
      const first = turn('shop', { user_id: 'ada', ...fields });
      await hold.entered;
      expect((await turn('shop', { user_id: 'ada', ...fields })).status).toBe(429);
      expect((await turn('shop', { user_id: 'bob', ...fields })).status).toBe(200);
      hold.release();
      expect((await first).status).toBe(200);
    }
  });
});

describe('turns beyond a limit', () => {
  const paths = [...Object.keys(FIELDS), '/completions', '/v1/chat/completions'];

  it.each(paths)('are refused before their body is read: %s', async (path) => {
    await turn('overdrawn', { n_predict: 30, ignore_eos: true });
    const { status, headers } = await askedInPart(path, 'overdrawn');
    expect(status).toBe(429);
    expect(Number(headers['retry-after'])).toBeGreaterThan(1);
  });

  it('at once are refused so as well, of a user that the key names', async () => {
    const hold = llm.hold();
    const first = turn('own');
    await hold.entered;
    expect((await askedInPart('/completion', 'own')).status).toBe(429);
    hold.release();
    expect((await first).status).toBe(200);
  });
});

/** What is answered to a request whose body does not come. */
function askedInPart(path: string, key: string): Promise<{ status: number; headers: IncomingHttpHeaders }> {
  const type = { 'content-type': 'application/json', 'content-length': '100' };
  const headers = { authorization: `Bearer ${made[key]}`, ...type };
  return new Promise((resolve, reject) => {
    const asked = request(`${node.url}${path}`, { method: 'POST', headers }, (reply) => {
      resolve({ status: reply.statusCode as number, headers: reply.headers });
      reply.resume();
      asked.destroy();
    });
    asked.on('error', reject);
    asked.flushHeaders();
  });
}

describe('ids', () => {
  it('are used up by what the model worked on, until they come back', async () => {
    expect((await turn('ids', { n_predict: 30, ignore_eos: true })).status).toBe(200);
    const { status, headers, body } = await turn('ids');
    expect({ status, type: body.error.type }).toEqual({ status: 429, type: 'rate_limited' });
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(1);
    expect(headers.get('x-ratelimit-limit-tokens')).toBe('20');
    expect(headers.get('x-ratelimit-remaining-tokens')).toBe('0');
    expect((await ask('GET', '/sessions', 'ids')).status).toBe(200);
  });

  it('are used up by every API alike', async () => {
    const client = openai('ids-openai');
    await chat(client, { max_completion_tokens: 30, store: false });
    for (const path of ['/v1/completions', '/v1/responses', '/v1/messages', '/v1/embeddings', '/completion']) {
      const body = {
        ...{ prompt: 'Hi', input: 'Hi', max_tokens: 4, messages: [{ role: 'user', content: 'Hi' }] },
      };
      const fields = Object.entries(body).filter(([name]) => FIELDS[path]?.includes(name));
      expect((await ask('POST', path, 'ids-openai', Object.fromEntries(fields))).status, path).toBe(429);
    }
  });

  it('of a turn that failed before the model began are given back', async () => {
    llm.failNext('at once');
    expect((await turn('cancelled')).status).toBe(503);
    expect((await turn('cancelled')).status).toBe(200);
  });

  it('of vectors that were never made are given back', async () => {
    const input = Array.from({ length: 20 }, () => 'x');
    llm.isGone = true;
    expect((await ask('POST', '/v1/embeddings', 'vectors', { input })).status).toBe(503);
    llm.isGone = false;
    expect((await ask('POST', '/v1/embeddings', 'vectors', { input })).status).toBe(200);
  });
});

it('durations are written as OpenAI writes them', () => {
  expect([0, 999, 1_000, 1_001, 60_000, 90_500].map(durationText)).toEqual([
    ...['0ms', '999ms', '1s', '2s', '1m0s', '1m31s'],
  ]);
});

/** One request a second is allowed: of two in a row one is refused, unless a second lies between them. */
async function untilRefused(request: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    const answer = await request();
    if (answer.status !== 200) return answer;
  }
}

async function refusalOf(act: () => Promise<unknown>): Promise<unknown> {
  for (;;) {
    try {
      await act();
    } catch (error) {
      return error;
    }
  }
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((again) => setTimeout(again, 10));
}
