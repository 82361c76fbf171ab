// Tries to have more sessions and bytes in a node's store than a key allows: one after the other, side by side, by forking, as
// conversations, through every API, and over a restart; and to be kept from making room.
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KeyFolder } from '../../../src/access/key-folder.ts';
import type { Limits } from '../../../src/domain/principals/limits.ts';
import type { Scope } from '../../../src/domain/principals/principal.ts';
import { newKey } from '../../../tools/new-key.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { type Answer, type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

const folder = temporaryFolder();
const keysDir = join(folder.path, 'keys');
const dataDir = join(folder.path, 'data');
const keys = new KeyFolder(keysDir);
const made: Record<string, string> = {};
let node: InProcessNode;

async function makeKey(name: string, limits: Limits, scope: Scope = 'user'): Promise<void> {
  made[name] = (await newKey(keys, { scopes: [scope], user: name, limits })).text;
}
const start = () => startTestNode({ keysDir, store: 'leveldb', dataDir });

beforeAll(async () => {
  for (const name of ['ada', 'many', 'openai', 'fork', 'restarted']) await makeKey(name, { sessions: 2 });
  await makeKey('shop', { sessions: 1 }, 'service');
  await makeKey('large', { bytes: 2_000 });
  node = await start();
});
afterAll(async () => {
  await node.close();
  folder.remove();
});

function ask(method: string, path: string, key: string, body?: object): Promise<Answer> {
  const headers = { authorization: `Bearer ${made[key]}`, ...(body && { 'content-type': 'application/json' }) };
  return node.request(method, path, { headers, ...(body && { body: JSON.stringify(body) }) });
}
const turn = (key: string, session: string, fields: object = {}) =>
  ask('POST', '/completion', key, { prompt: 'Hello.', session_id: session, ...fields });

describe('sessions', () => {
  it('are so many of a user: no new one is opened, those there go on, and one that is deleted makes room', async () => {
    for (const session of ['a', 'b']) expect((await turn('ada', session, { turn: 1 })).status).toBe(200);
    const refused = await turn('ada', 'c', { turn: 1 });
    expect({ status: refused.status, type: refused.body.error.type }).toEqual({ status: 429, type: 'quota_exceeded' });
    expect(refused.headers.get('x-should-retry')).toBe('false');
    expect((await turn('ada', 'a', { turn: 2 })).status).toBe(200);
    expect((await turn('ada', 'a', { turn: 1 })).body.replayed).toBe(true);
    expect((await ask('DELETE', '/sessions/b', 'ada')).status).toBe(200);
    expect((await turn('ada', 'c', { turn: 1 })).status).toBe(200);
  });

  it('are no more where many are opened side by side', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, (_, at) => turn('many', `s${at}`, { turn: 1 })));
    expect(answers.map(({ status }) => status).filter((status) => status === 200)).toHaveLength(2);
    expect((await ask('GET', '/sessions', 'many')).body.data).toHaveLength(2);
  });

  it('are counted for each user that a service names', async () => {
    for (const user_id of ['u1', 'u2']) {
      expect((await turn('shop', 'a', { user_id })).status).toBe(200);
      expect((await turn('shop', 'b', { user_id })).status).toBe(429);
    }
  });

  it('are opened by forking and as conversations, too', async () => {
    await turn('fork', 'a', { turn: 1 });
    const conversation = await ask('POST', '/v1/conversations', 'fork', {});
    expect(conversation.status).toBe(200);
    const forked = await ask('POST', '/sessions/a/fork', 'fork', { turn: 1 });
    expect({ status: forked.status, type: forked.body.error.type }).toEqual({ status: 429, type: 'quota_exceeded' });
    expect((await ask('POST', '/v1/conversations', 'fork', {})).status).toBe(429);
    const changed = await ask('POST', `/v1/conversations/${conversation.body.id}`, 'fork', { metadata: { a: 'b' } });
    expect(changed.status).toBe(200);
  });

  it("that are too many are no reason for OpenAI's client to come again", async () => {
    let requests = 0;
    const client = new OpenAI({
      ...{ baseURL: `${node.url}/v1`, apiKey: made.openai, maxRetries: 5 },
      fetch: (url, init) => {
        requests++;
        return fetch(url, init);
      },
    });
    const create = (input: string) => client.responses.create({ model: 'scripted', input });
    const first = await create('one');
    await create('two');
    requests = 0;
    const refused = await create('three').catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(OpenAI.RateLimitError);
    expect(refused).toMatchObject({ code: 'insufficient_quota' });
    expect(requests).toBe(1);
    expect((await client.responses.create({ input: 'on', previous_response_id: first.id })).status).toBe('completed');
  });

  it('are found again by a node that starts', async () => {
    for (const session of ['a', 'b']) expect((await turn('restarted', session, { turn: 1 })).status).toBe(200);
    await node.close();
    node = await start();
    expect((await turn('restarted', 'c', { turn: 1 })).status).toBe(429);
    expect((await turn('restarted', 'a', { turn: 2 })).status).toBe(200);
  });
});

describe('bytes', () => {
  it('are so many of a user: no turn beyond them, but what is there can be read and deleted', async () => {
    let turns = 0;
    while ((await turn('large', 'a', { prompt: 'x'.repeat(400), turn: turns + 1 })).status === 200) turns++;
    expect(turns).toBeGreaterThan(0);
    const refused = await turn('large', 'a', { turn: turns + 1 });
    expect(refused.body.error.type).toBe('quota_exceeded');
    const { data } = (await ask('GET', '/sessions', 'large')).body;
    expect(data[0].bytes).toBeGreaterThanOrEqual(2_000);
    expect((await ask('DELETE', '/sessions/a', 'large')).status).toBe(200);
    expect((await turn('large', 'b', { turn: 1 })).status).toBe(200);
  });
});
