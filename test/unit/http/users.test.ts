// Users as a whole, over HTTP: who may erase whom, what goes, what stays, and what the receipt says.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { KeyFolder } from '../../../src/access/key-folder.ts';
import type { Scope } from '../../../src/domain/principals/principal.ts';
import { newKey } from '../../../tools/new-key.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { type Answer, type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

const folder = temporaryFolder();
const keys = new KeyFolder(join(folder.path, 'keys'));
let node: InProcessNode;
let [ada, bob, service, operator, reader] = ['', '', '', '', ''];

async function keyOf(scopes: readonly Scope[], user?: string): Promise<string> {
  return (await newKey(keys, { scopes, user })).text;
}

beforeAll(async () => {
  ada = await keyOf(['user'], 'ada');
  bob = await keyOf(['user'], 'bob');
  service = await keyOf(['service']);
  operator = await keyOf(['operator']);
  reader = await keyOf(['user', 'read-only'], 'ada');
  node = await startTestNode({ keysDir: keys.path, dataDir: join(folder.path, 'data'), store: 'leveldb' });
});
afterAll(async () => {
  await node.close();
  folder.remove();
});

function ask(method: string, path: string, key: string, body?: object): Promise<Answer> {
  const headers = {
    authorization: `Bearer ${key}`,
    ...(body !== undefined && { 'content-type': 'application/json' }),
  };
  return node.request(method, path, { headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
}

/** Waits for the node's files to be written anew. */
const erase = (user: string, key: string) => ask('DELETE', `/users/${user}?max_wait_ms=30000`, key);

const turn = (key: string, fields: object) => ask('POST', '/completion', key, { prompt: 'Hello.', ...fields });

it('a user erases itself: its sessions, responses and completions are gone, and nobody else misses anything', async () => {
  for (const key of [ada, bob]) {
    await turn(key, { session_id: 's', turn: 1 });
    await turn(key, { session_id: 's', turn: 2 });
  }
  const response = (await ask('POST', '/v1/responses', ada, { input: 'Hello.', store: true })).body;
  const messages = [{ role: 'user', content: 'Hello.' }];
  const completion = (await ask('POST', '/v1/chat/completions', ada, { messages, store: true })).body;
  const conversation = (await ask('POST', '/v1/conversations', ada, { items: messages })).body;
  expect((await ask('GET', `/v1/responses/${response.id}`, ada)).status).toBe(200);

  const erased = await erase('ada', ada);
  expect(erased.status).toBe(200);
  expect(erased.body).toMatchObject({ user_id: 'ada', complete: true, nodes: [{ state: 'confirmed', sessions: 4 }] });
  for (const path of [
    '/sessions/s',
    `/v1/responses/${response.id}`,
    `/v1/chat/completions/${completion.id}`,
    `/v1/conversations/${conversation.id}`,
  ])
    expect((await ask('GET', path, ada)).status, path).toBe(404);
  expect((await ask('GET', '/sessions', ada)).body.data).toEqual([]);
  expect((await turn(ada, { session_id: 's', turn: 3 })).status).not.toBe(200);
  expect((await ask('GET', '/sessions/s', bob)).body.turns).toHaveLength(2);
  const again = await ask('GET', `/users/ada/erasures/${erased.body.receipt_id}`, ada);
  expect(again.body).toEqual(erased.body);
});

it("how long what a user says is kept is its own to say, that of who acts for it, and the operator's; no longer than the node allows", async () => {
  const path = '/users/ada/lifetime';
  expect((await ask('GET', path, ada)).body).toEqual({ user_id: 'ada', ttl_seconds: null });
  for (const [ttl_seconds, key] of [ada, service, operator].entries()) {
    expect((await ask('PUT', path, key, { ttl_seconds: ttl_seconds + 60 })).body).toMatchObject({
      ttl_seconds: ttl_seconds + 60,
    });
    expect((await ask('GET', path, reader)).body).toMatchObject({ ttl_seconds: ttl_seconds + 60 });
  }
  for (const key of [bob, reader]) expect((await ask('PUT', path, key, { ttl_seconds: 5 })).status).toBe(403);
  expect((await ask('GET', path, bob)).status).toBe(403);
  expect((await ask('PUT', path, ada, { ttl_seconds: 1e9 })).body.error).toMatchObject({ param: 'ttl_seconds' });
  expect((await ask('GET', '/users/ada/export', ada)).body).toMatchObject({ ttl_seconds: 62 });
  expect((await ask('DELETE', path, operator)).body).toEqual({ user_id: 'ada', ttl_seconds: null });
  expect((await ask('GET', path, ada)).body).toMatchObject({ ttl_seconds: null });
  await ask('PUT', path, ada, { ttl_seconds: 60 });
  await erase('ada', ada);
  expect((await ask('GET', path, ada)).body).toMatchObject({ ttl_seconds: null });
});

it('what a user has preferred is told to no model any more', async () => {
  const preferences = 'I prefer canaries.';
  const set = async () => expect((await ask('PUT', '/users/ada/preferences', ada, { preferences })).status).toBe(200);
  const systemTokens = async (turnNumber: number) =>
    (await turn(ada, { session_id: `p${turnNumber}`, turn: 1 })).body.tokens_evaluated;
  const without = await systemTokens(1);
  await set();
  expect(await systemTokens(2)).toBeGreaterThan(without);
  expect((await erase('ada', ada)).body.nodes).toMatchObject([{ sessions: 3 }]);
  expect((await ask('GET', '/users/ada/preferences', ada)).body.preferences).toBeNull();
  expect(await systemTokens(3)).toBe(without);
  await erase('ada', ada);
});

it('a user begins anew under the same ids, and can be erased again', async () => {
  await turn(ada, { session_id: 's', turn: 1 });
  const second = await turn(ada, { session_id: 's', turn: 2 });
  expect(second.status).toBe(200);
  await ask('POST', '/sessions/s/fork', ada, { turn: 1, session_id: 'fork' });
  expect((await ask('GET', '/sessions/s', ada)).body.turns).toHaveLength(2);
  expect((await ask('DELETE', '/sessions/fork', ada)).status).toBe(200);
  expect((await ask('GET', '/sessions/fork', ada)).body.error.type).toBe('session_deleted');
  expect((await erase('ada', ada)).body.nodes).toMatchObject([{ sessions: 2 }]);
  expect((await ask('GET', '/sessions/s', ada)).status).toBe(404);
});

it('nobody erases, or asks after, a user who is not theirs, and there is none of that name just the same', async () => {
  const { receipt_id } = (await erase('ada', operator)).body;
  await turn(bob, { session_id: 'mine', turn: 1 });
  for (const name of ['bob', 'nobody']) {
    expect((await ask('DELETE', `/users/${name}`, ada)).status).toBe(403);
    expect((await ask('GET', `/users/${name}/erasures/${receipt_id}`, ada)).status).toBe(403);
  }
  expect((await ask('DELETE', '/users/ada', reader)).status).toBe(403);
  expect((await ask('GET', `/users/ada/erasures/${receipt_id}`, reader)).status).toBe(200);
  expect((await ask('GET', `/users/bob/erasures/${receipt_id}`, service)).body.error.type).toBe('erasure_not_found');
  expect((await ask('GET', '/sessions/mine', bob)).status).toBe(200);
});

it('a service and an operator erase whom they name; an operator reads no session for all that', async () => {
  await turn(service, { session_id: 'x', turn: 1, user_id: 'eve' });
  expect((await erase('eve', service)).body.nodes).toMatchObject([{ sessions: 1 }]);
  await turn(service, { session_id: 'x', turn: 1, user_id: 'eve' });
  expect((await erase('eve', operator)).body.nodes).toMatchObject([{ sessions: 1 }]);
  expect((await ask('GET', '/sessions?user_id=eve', operator)).status).toBe(403);
});

it('a turn under way when its user is erased is stopped, and nothing of it is stored', async () => {
  const words = 'word '.repeat(50);
  const running = turn(bob, { session_id: 'long', turn: 1, prompt: words, n_predict: 4_000 });
  while ((await ask('GET', '/nodes?probe=false', operator)).body.nodes[0].load === 0);
  await erase('bob', bob);
  const answer = await running;
  // It may have been stored before; then it is erased.
  if (answer.status !== 200) expect(answer.body.error.type).toBe('session_deleted');
  expect((await ask('GET', '/sessions', bob)).body.data).toEqual([]);
});

it('one erasure of a user at a time: who asks again and again makes no line of them', async () => {
  const again = () => ask('DELETE', '/users/eve?max_wait_ms=0', service);
  const answers = await Promise.all(Array.from({ length: 20 }, again));
  const refused = answers.filter(({ status }) => status !== 200);
  expect(refused.length).toBeGreaterThan(0);
  for (const { status, body, headers } of refused) {
    expect({ status, type: body.error.type }).toEqual({ status: 503, type: 'overloaded' });
    expect(headers.get('retry-after')).toBe('1');
  }
  while ((await again()).status !== 200) await new Promise((retry) => setTimeout(retry, 10));
});
