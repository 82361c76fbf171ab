// Asks a node in ways that HTTP itself takes offence at: methods that a path does not have, compressed bodies, requests that
// are none. Each is answered in the node's own envelope, and the node lives on.
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type InProcessNode, type Json, startTestNode } from '../../../tools/test-node.ts';

let node: InProcessNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.close());
afterEach(async () => {
  expect((await node.get('/health')).status).toBe(200);
});

describe('methods', () => {
  it.each([
    ['GET', '/completion', 'POST, OPTIONS'],
    ['PUT', '/completion', 'POST, OPTIONS'],
    ['DELETE', '/health', 'GET, HEAD, OPTIONS'],
    ['POST', '/openapi.json', 'GET, HEAD, OPTIONS'],
    ['PATCH', '/sessions/a%2Fb', 'GET, HEAD, DELETE, OPTIONS'],
    ['POST', '/sessions/s/', 'GET, HEAD, DELETE, OPTIONS'],
    ['GET', '/sessions/s/fork?user_id=x', 'POST, OPTIONS'],
    ['PROPFIND', '/sessions', 'GET, HEAD, OPTIONS'],
  ])('%s %s is 405 and told %s', async (method, path, allow) => {
    for (const body of method === 'GET' ? [undefined] : [undefined, '{', '{}']) {
      const init = body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } };
      const answer = await node.request(method, path, init);
      expect([answer.status, answer.body.error.type]).toEqual([405, 'method_not_allowed']);
      expect(answer.headers.get('allow')?.split(', ').sort()).toEqual(allow.split(', ').sort());
    }
  });

  it('HEAD is GET without its body; where there is no GET, 405', async () => {
    const head = await node.request('HEAD', '/sessions');
    expect([head.status, head.text, head.headers.get('content-length')]).toEqual([200, '', '44']);
    expect((await node.request('HEAD', '/completion')).status).toBe(405);
    expect((await node.request('HEAD', '/nothing')).status).toBe(404);
  });

  it('OPTIONS lists the methods', async () => {
    const answer = await node.request('OPTIONS', '/completion');
    expect([answer.status, answer.headers.get('allow'), answer.text]).toEqual([204, 'POST, OPTIONS', '']);
    expect((await node.request('OPTIONS', '/nothing')).status).toBe(404);
  });

  it('what is nowhere is 404, whatever its body', async () => {
    const answer = await node.request('POST', '/nothing', { body: 'x', headers: { 'content-type': 'text/plain' } });
    expect([answer.status, answer.body.error.type]).toEqual([404, 'route_not_found']);
    expect((await node.get('/openapiXjson')).status).toBe(404);
  });
});

it("no body is no body, though it is called JSON, as OpenAI's client for Python does", async () => {
  const init = { body: '', headers: { 'content-type': 'application/json' } };
  const id = (await node.post('/v1/conversations', {})).body.id;
  expect((await node.request('DELETE', `/v1/conversations/${id}`, init)).body).toMatchObject({ deleted: true });
  const needed = await node.request('POST', '/v1/responses', init);
  expect([needed.status, needed.body.error.code]).toEqual([400, 'invalid_request']);
});

it.each(['/health/', '/sessions/', '/v1/models/', '/openapi.json/'])(
  'a trailing slash changes nothing: %s',
  async (path) => {
    expect((await node.get(path)).body).toEqual((await node.get(path.slice(0, -1))).body);
  },
);

it('a trailing slash changes nothing for a turn either', async () => {
  expect((await node.post('/completion/', { prompt: 'x' })).body).toMatchObject({ turn: 1 });
});

describe('bodies', () => {
  const body = JSON.stringify({ prompt: 'x' });
  it.each<[string, string | Uint8Array]>([
    ['gzip', gzipSync(body)],
    ['GZIP', gzipSync(body)],
    ['br', body],
    ['gzip, identity', gzipSync(body)],
  ])('in content-encoding %s are 415, which says why', async (encoding, sent) => {
    const headers = { 'content-type': 'application/json', 'content-encoding': encoding };
    const { status, body: answer } = await node.request('POST', '/completion', { body: sent, headers });
    expect([status, answer.error.type]).toEqual([415, 'unsupported_media_type']);
    expect(answer.error.message).toContain('content-encoding');
  });

  it('in content-encoding identity are read', async () => {
    const headers = { 'content-type': 'application/json', 'content-encoding': 'identity' };
    expect((await node.request('POST', '/completion', { body, headers })).status).toBe(200);
  });
});

describe('requests that are none', () => {
  const post = 'POST /completion HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n';
  it.each([
    ['no HTTP', 'nonsense\r\n\r\n', 400, 'invalid_request'],
    ['TLS', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000', 400, 'invalid_request'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'invalid_request'],
    ['an unknown method', 'FROB /health HTTP/1.1\r\nhost: localhost\r\n\r\n', 400, 'invalid_request'],
    ['a length that is no number', `${post}content-length: ten\r\n\r\n{}`, 400, 'invalid_request'],
    ['two lengths', `${post}content-length: 2\r\ncontent-length: 3\r\n\r\n{}`, 400, 'invalid_request'],
    ['a length and chunks', `${post}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}`, 400, 'invalid_request'],
    ['a broken chunk', `${post}transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n`, 400, 'invalid_request'],
    ['no host', 'GET /health HTTP/1.1\r\n\r\n', 400, 'invalid_request'],
    ['a URL without end', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nhost: localhost\r\n\r\n`, 431, 'headers_too_large'],
    [
      'headers without end',
      `GET /health HTTP/1.1\r\nhost: localhost\r\na: ${'x'.repeat(20_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
    [
      'a control character in a header',
      'GET /health HTTP/1.1\r\nhost: localhost\r\na: b\u0000c\r\n\r\n',
      400,
      'invalid_request',
    ],
    [
      'an id without end',
      `GET /sessions/${'x'.repeat(500)} HTTP/1.1\r\nhost: localhost\r\n\r\n`,
      400,
      'invalid_request',
    ],
  ])('%s', async (_, sent, status, type) => {
    const answer = await sendRaw(sent);
    expect(answer.head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(answer.head).toMatch(/^x-request-id: [0-9a-f-]{36}$/m);
    expect(answer.head).toMatch(/^x-should-retry: false$/m);
    expect(answer.body.error).toMatchObject({ code: status, type, message: expect.any(String) });
  });

  it('an expectation that nobody knows is passed over', async () => {
    const { head } = await sendRaw(
      'GET /health HTTP/1.1\r\nhost: localhost\r\nexpect: a-miracle\r\nconnection: close\r\n\r\n',
    );
    expect(head).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('HTTP/1.0 needs no host', async () => {
    expect((await sendRaw('GET /health HTTP/1.0\r\n\r\n')).head).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('nonsense after a request does not get into its streamed reply', async () => {
    const body = JSON.stringify({ prompt: 'x'.repeat(3000), n_predict: 3000, stream: true });
    const text = await rawAnswer(`${post}content-length: ${body.length}\r\n\r\n${body}`, (socket) =>
      socket.once('data', () => socket.write('nonsense\r\n\r\n')),
    );
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(text).not.toContain('invalid_request');
  });
});

async function sendRaw(sent: string): Promise<{ head: string; body: Json }> {
  const [head, body] = (await rawAnswer(sent)).split('\r\n\r\n') as [string, string];
  return { head: head.replaceAll('\r', ''), body: JSON.parse(body) };
}

/** All that the node answers until it, or a proper end of the answer, closes the connection. */
function rawAnswer(sent: string, meanwhile: (socket: ReturnType<typeof connect>) => void = () => {}): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect(node.node.address.port, '127.0.0.1', () => socket.write(sent, 'latin1'));
    meanwhile(socket);
    const text = () => Buffer.concat(chunks).toString();
    socket
      .on('data', (chunk) => {
        chunks.push(chunk);
        if (/\}\s*$/.test(text()) && text().includes('content-length')) socket.end();
      })
      .on('error', () => {})
      .on('close', () => resolve(text()));
  });
}
