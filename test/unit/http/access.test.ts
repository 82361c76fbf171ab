import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { KeyFolder } from '../../../src/access/key-folder.ts';
import type { Scope } from '../../../src/domain/principals/principal.ts';
import { newKey } from '../../../tools/new-key.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { type Answer, type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

const folder = temporaryFolder();
const keysDir = join(folder.path, 'keys');
const keys = new KeyFolder(keysDir);
let node: InProcessNode;
let ada: string;
let bob: string;
let service: string;
let operator: string;
let reader: string;

async function keyOf(scopes: readonly Scope[], user?: string, expiresAtMs?: number): Promise<string> {
  return (await newKey(keys, { scopes, user, ...(expiresAtMs !== undefined && { expiresAtMs }) })).text;
}

beforeAll(async () => {
  ada = await keyOf(['user'], 'ada');
  bob = await keyOf(['user'], 'bob');
  service = await keyOf(['service']);
  operator = await keyOf(['operator']);
  reader = await keyOf(['user', 'read-only'], 'ada');
  node = await startTestNode({ keysDir });
});
afterAll(async () => {
  await node.close();
  folder.remove();
});

function ask(method: string, path: string, key: string | undefined, body?: object): Promise<Answer> {
  const headers = {
    ...(key !== undefined && { authorization: `Bearer ${key}` }),
    ...(body !== undefined && { 'content-type': 'application/json' }),
  };
  return node.request(method, path, { headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
}

/** What is waited for is an event of another part, a second away at most. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((again) => setTimeout(again, 10));
}

const turn = (key: string | undefined, fields: object) =>
  ask('POST', '/completion', key, { prompt: 'Hello.', turn: 1, ...fields });

describe('who has no key', () => {
  it('gets nothing, in the words of each API', async () => {
    const answer = await turn(undefined, { session_id: 'a' });
    expect(answer.status).toBe(401);
    expect(answer.body.error.type).toBe('unauthorized');
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
    const openAi = await ask('POST', '/v1/chat/completions', undefined, {
      messages: [{ role: 'user', content: 'Hi' }],
    });
    expect(openAi.status).toBe(401);
    expect(openAi.body.error).toMatchObject({ code: 'invalid_api_key', type: 'authentication_error' });
    const anthropic = await ask('POST', '/v1/messages', 'wrong', { max_tokens: 1, messages: [] });
    expect(anthropic.body).toMatchObject({ type: 'error', error: { type: 'authentication_error' } });
  });

  it('may ask whether the node lives, and what its API is', async () => {
    for (const path of ['/health', '/v1/health', '/ready', '/openapi.json'])
      expect((await ask('GET', path, undefined)).status, path).toBe(200);
  });

  it('is told the same whatever is wrong', async () => {
    const expired = await keyOf(['user'], 'ada', 1);
    const answers = await Promise.all(
      [undefined, '', 'x', expired, `${ada.slice(0, -1)}!`, ada.toLowerCase(), 'a.b.c'].map((key) =>
        turn(key, { session_id: 'a' }),
      ),
    );
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
  });
});

describe('a user', () => {
  it('has sessions of its own, whatever user it names', async () => {
    const first = await turn(ada, { session_id: 'mine', user_id: 'bob' });
    expect(first.body.user_id).toBe('ada');
    expect((await ask('GET', '/sessions?user_id=ada', bob)).body.data).toEqual([]);
    expect((await ask('GET', '/sessions', ada)).body.data).toHaveLength(1);
  });

  it("finds another's session as little as one that is not there", async () => {
    await turn(ada, { session_id: 'hers' });
    for (const path of ['/sessions/hers', '/sessions/hers/export', '/sessions/hers?user_id=ada']) {
      const [foreign, missing] = [await ask('GET', path, bob), await ask('GET', path.replace('hers', 'nobodys'), bob)];
      expect(foreign.status).toBe(404);
      expect(foreign.text.replace('hers', 'nobodys')).toBe(missing.text);
    }
    expect((await ask('DELETE', '/sessions/hers', bob)).status).toBe(404);
    expect((await ask('GET', '/sessions/hers', ada)).status).toBe(200);
  });

  it("may not ask what is the operator's", async () => {
    const answer = await ask('GET', '/metrics', ada);
    expect(answer.status).toBe(403);
    expect(answer.body.error.type).toBe('forbidden');
    const [own] = (await ask('GET', '/nodes', ada)).body.nodes;
    expect(Object.keys(own).sort()).toEqual(['model', 'models', 'node', 'state']);
  });
});

describe("OpenAI's ids", () => {
  const create = (key: string, fields: object) =>
    ask('POST', '/v1/responses', key, { input: 'I am Ada.', max_output_tokens: 4, ...fields });

  it('open for their owner alone, whoever has them and whatever user is named', async () => {
    const { body: response } = await create(ada, {});
    const { body: conversation } = await ask('POST', '/v1/conversations', ada, {});
    const id = response.id as string;
    for (const who of [bob, operator]) {
      const status = who === bob ? 404 : 403;
      for (const path of [
        `/v1/responses/${id}`,
        `/v1/responses/${id}/input_items`,
        `/v1/conversations/${conversation.id}`,
      ])
        expect((await ask('GET', path, who)).status, path).toBe(status);
      expect((await ask('DELETE', `/v1/responses/${id}`, who)).status).toBe(status);
      expect((await ask('POST', `/v1/responses/${id}/cancel`, who)).status).toBe(status);
    }
    const next = await create(bob, { previous_response_id: id, user: 'ada' });
    const forged = await create(bob, { previous_response_id: `${id.slice(0, -2)}AA` });
    expect(next.body.error.code).toBe('previous_response_not_found');
    expect(next.text).toBe(forged.text);
    expect((await create(bob, { conversation: conversation.id })).body.error.code).toBe('conversation_not_found');
    expect((await ask('GET', `/v1/responses/${id}`, ada)).status).toBe(200);
    expect((await create(ada, { previous_response_id: id, user: 'a label' })).status).toBe(200);
    expect((await ask('GET', `/v1/responses/${id}`, service)).status).toBe(200);
  });

  it('items and summaries are read by their owner alone', async () => {
    const { body: response } = await create(ada, {});
    const { body: items } = await ask('GET', `/v1/responses/${response.id}/input_items`, ada);
    const reference = { input: [{ type: 'item_reference', id: items.data[0].id }] };
    expect((await create(ada, reference)).status).toBe(200);
    expect((await create(bob, reference)).status).toBe(400);
    const { body: compacted } = await ask('POST', '/v1/responses/compact', ada, { previous_response_id: response.id });
    const summary = compacted.output.filter(({ type }: { type: string }) => type === 'compaction');
    const input = [...summary, { role: 'user', content: 'What was said?' }];
    expect((await create(ada, { input })).status).toBe(200);
    expect((await create(bob, { input })).status).toBe(400);
  });

  it('a socket is asked who opens it', async () => {
    const opened = (key: string | undefined) =>
      new Promise((resolve) => {
        const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
        const socket = new WebSocket(`${node.url.replace('http', 'ws')}/v1/responses`, { headers });
        socket.on('open', () => resolve(socket.close() ?? 101));
        socket.on('unexpected-response', (_, { statusCode }) => resolve(statusCode));
        socket.on('error', () => {});
      });
    expect(await opened(ada)).toBe(101);
    expect(await opened(undefined)).toBe(401);
    expect(await opened(operator)).toBe(403);
    expect(await opened(reader)).toBe(403);
  });
});

describe('a connection for a socket', () => {
  /** Opens one, says the head of a handshake, and cuts it hard. */
  async function cut(port: number, head: readonly string[]): Promise<void> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(`GET /v1/responses HTTP/1.1\r\nhost: 127.0.0.1\r\n${head.join('\r\n')}\r\n\r\n`);
    await new Promise(setImmediate);
    socket.resetAndDestroy();
    await once(socket, 'close');
  }

  it('that is cut before it is answered ends nothing but itself', async () => {
    const port = Number(new URL(node.url).port);
    const upgrade = ['connection: upgrade', 'upgrade: websocket'];
    for (let times = 0; times < 40; times++) await cut(port, upgrade);
    for (let times = 0; times < 10; times++) await cut(port, [...upgrade, `authorization: Bearer ${ada}`]);
    expect((await ask('GET', '/sessions', ada)).status).toBe(200);
  });

  it('is asked again with each message: a key that is revoked meanwhile counts no more', async () => {
    const late = await keyOf(['user'], 'late');
    await until(async () => (await ask('GET', '/sessions', late)).status === 200);
    const socket = new WebSocket(`${node.url.replace('http', 'ws')}/v1/responses`, {
      headers: { authorization: `Bearer ${late}` },
    });
    const said: Array<{ type: string }> = [];
    socket.on('message', (data) => said.push(JSON.parse(String(data))));
    await once(socket, 'open');
    const say = () => socket.send(JSON.stringify({ type: 'response.create', input: 'Hello.', max_output_tokens: 4 }));
    say();
    await until(() => said.at(-1)?.type === 'response.incomplete');
    const kept = keys.all().find(({ user }) => user === 'late');
    await keys.put({ ...(kept as NonNullable<typeof kept>), revokedAtMs: 1 });
    await until(async () => (await ask('GET', '/sessions', late)).status === 401);
    say();
    const [code] = await once(socket, 'close');
    expect(code).toBe(1008);
    expect(said.at(-1)).toMatchObject({ type: 'error', status: 401 });
  });
});

describe('other scopes', () => {
  it('a service acts for the users that it names', async () => {
    await turn(service, { session_id: 'for-carol', user_id: 'carol' });
    expect((await ask('GET', '/sessions/for-carol?user_id=carol', service)).body.user_id).toBe('carol');
    expect((await ask('GET', '/sessions/for-carol', service)).status).toBe(404);
  });

  it('an operator sees the node, and no sessions', async () => {
    expect((await ask('GET', '/metrics', operator)).status).toBe(200);
    expect((await ask('GET', '/nodes', operator)).body.nodes[0].clock).toBeDefined();
    expect((await ask('GET', '/sessions', operator)).status).toBe(403);
    expect((await turn(operator, { session_id: 'x' })).status).toBe(403);
  });

  it('one that may only read changes nothing', async () => {
    expect((await ask('GET', '/sessions', reader)).status).toBe(200);
    expect((await turn(reader, { session_id: 'x' })).status).toBe(403);
    expect((await ask('DELETE', '/sessions/mine', reader)).status).toBe(403);
  });
});

describe('while the node runs', () => {
  it('a new key counts, and a revoked one no more', async () => {
    const late = await keyOf(['user'], 'dan');
    const answers = async (status: number) => (await ask('GET', '/sessions', late)).status === status;
    await until(() => answers(200));
    const kept = keys.all().find(({ user }) => user === 'dan');
    await keys.put({ ...(kept as NonNullable<typeof kept>), revokedAtMs: 1 });
    await until(() => answers(401));
  });
});

describe('tokens of an issuer', () => {
  const issuer = 'https://issuer.example';

  it('count for their user, with the scopes that they have, while they are good', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256');
    const stranger = await generateKeyPair('ES256');
    const set = { keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256' }] };
    const server = createServer((_, response) => response.end(JSON.stringify(set)));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const jwtKeys = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
    const tokens = await startTestNode({ jwtIssuer: issuer, jwtAudience: 'discedge', jwtKeys });
    const sign = (claims: object, { key = privateKey, alg = 'ES256', expires = '5m' as string | number } = {}) =>
      new SignJWT({ sub: 'eve', iss: issuer, aud: 'discedge', ...claims })
        .setProtectedHeader({ alg, kid: 'one' })
        .setExpirationTime(expires)
        .sign(key);
    const status = async (token: string, path = '/sessions') =>
      (await tokens.request('GET', path, { headers: { authorization: `Bearer ${token}` } })).status;
    try {
      expect(await status(await sign({}))).toBe(200);
      expect(await status(await sign({}), '/metrics')).toBe(403);
      expect(await status(await sign({ scope: 'openid discedge:operator' }), '/metrics')).toBe(200);
      expect(await status(await sign({ scope: 'discedge:operator' }))).toBe(403);
      expect(await status(await sign({ iss: 'https://other.example' }))).toBe(401);
      expect(await status(await sign({ aud: 'others' }))).toBe(401);
      expect(await status(await sign({ sub: '..' }))).toBe(401);
      expect(await status(await sign({}, { expires: 1 }))).toBe(401);
      expect(await status(await sign({}, { key: stranger.privateKey }))).toBe(401);
      const unsigned = [{ alg: 'none' }, { sub: 'eve', iss: issuer, aud: 'discedge', exp: 9e9 }, '']
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
        .join('.');
      expect(await status(unsigned)).toBe(401);
    } finally {
      await tokens.close();
      server.close();
    }
  });

  it('are 503 while the keys of the issuer cannot be had', async () => {
    const jwtKeys = join(folder.path, 'missing.json');
    const tokens = await startTestNode({ jwtIssuer: issuer, jwtAudience: 'discedge', jwtKeys });
    try {
      const answer = await tokens.request('GET', '/sessions', { headers: { authorization: 'Bearer e30.e30.e30' } });
      expect(answer.status).toBe(401);
      const { privateKey } = await generateKeyPair('ES256');
      const token = await new SignJWT({ sub: 'eve' })
        .setProtectedHeader({ alg: 'ES256' })
        .setExpirationTime('5m')
        .sign(privateKey);
      const good = await tokens.request('GET', '/sessions', { headers: { authorization: `Bearer ${token}` } });
      expect(good.status).toBe(503);
      expect(good.body.error.type).toBe('access_unavailable');
    } finally {
      await tokens.close();
    }
  });
});

describe('a node that asks nobody', () => {
  it('is not asked by a page that has made its own name one of this machine', async () => {
    const open = await startTestNode();
    const port = Number(new URL(open.url).port);
    const as = (host: string) =>
      new Promise((resolve) => {
        get({ host: '127.0.0.1', port, path: '/sessions', headers: { host } }, ({ statusCode }) => resolve(statusCode));
      });
    try {
      for (const host of ['localhost', 'LOCALHOST:8081', '127.0.0.1:9', '[::1]:8081', '127.5.5.5'])
        expect(await as(host), host).toBe(200);
      for (const host of [
        'evil.example',
        'evil.example:8081',
        '127.0.0.1.evil.example',
        'localhost.evil.example',
        '10.0.0.1',
      ])
        expect(await as(host), host).toBe(403);
    } finally {
      await open.close();
    }
  });

  it('asks once there is a file that may be a key, though it cannot be read', async () => {
    const damaged = join(folder.path, 'damaged');
    mkdirSync(damaged);
    writeFileSync(join(damaged, 'some.json'), '{');
    const asking = await startTestNode({ keysDir: damaged });
    try {
      expect((await asking.get('/sessions')).status).toBe(401);
    } finally {
      await asking.close();
    }
  });

  it('does not listen beyond loopback, unless told so', async () => {
    await expect(startTestNode({ listen: '0.0.0.0:0' })).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('discedge keys create'),
    });
    const open = await startTestNode({ listen: '0.0.0.0:0', serveAnyone: true });
    await open.close();
    const asking = await startTestNode({ listen: '0.0.0.0:0', keysDir });
    await asking.close();
  });
});
