// Pages of other origins: off by default, on for those that are named, streams and errors included. A page of an origin that is not
// named, or a node that names none, must not get a header that lets a browser show it the answer.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

const APP = 'https://app.example';
let closed: InProcessNode;
let open: InProcessNode;
let any: InProcessNode;

beforeAll(async () => {
  closed = await startTestNode();
  open = await startTestNode({ corsOrigins: `${APP},http://localhost:5173` });
  any = await startTestNode({ corsOrigins: '*' });
});
afterAll(() => Promise.all([closed, open, any].map((node) => node.close())));

const allowed = (headers: Headers) => headers.get('access-control-allow-origin');
const preflight = (node: InProcessNode, origin: string, path = '/completion') =>
  node.request('OPTIONS', path, {
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,x-anything',
    },
  });
const turn = (node: InProcessNode, origin: string, body: object = {}) =>
  node.request('POST', '/completion', {
    body: JSON.stringify({ prompt: 'hi', ...body }),
    headers: { origin, 'content-type': 'application/json' },
  });

describe('a page of an origin that is named', () => {
  it('may ask, with whatever headers, and read what tells it to ask again', async () => {
    const answer = await preflight(open, APP);
    expect(answer.status).toBe(204);
    expect(allowed(answer.headers)).toBe(APP);
    expect(answer.headers.get('access-control-allow-methods')).toContain('DELETE');
    expect(answer.headers.get('access-control-allow-headers')).toBe('content-type,x-anything');
    expect(answer.headers.get('access-control-allow-credentials')).toBeNull();
    for (const path of ['/sessions/s', '/v1/models', '/nodes'])
      expect((await preflight(open, APP, path)).status).toBe(204);
  });

  it.each([
    ['a turn', {}, 200],
    ['a stream', { stream: true }, 200],
    ['an error', { turn: 0 }, 400],
    ['an error of a turn', { session_id: 's', turn: 9, max_wait_ms: 0 }, 404],
  ])('reads %s', async (_, body, status) => {
    const answer = await turn(open, APP, body);
    expect(answer.status).toBe(status);
    expect(allowed(answer.headers)).toBe(APP);
    expect(answer.headers.get('vary')).toMatch(/origin/i);
    expect(answer.headers.get('access-control-expose-headers')).toContain('retry-after-ms');
  });

  it('reads what is wrong with a path and a body', async () => {
    for (const answer of [
      await open.request('GET', '/nowhere', { headers: { origin: APP } }),
      await open.request('POST', '/completion', {
        body: '{',
        headers: { origin: APP, 'content-type': 'application/json' },
      }),
    ])
      expect(allowed(answer.headers)).toBe(APP);
  });

  it('may be any, where that is set', async () => {
    expect(allowed((await preflight(any, 'https://who.example')).headers)).toBe('*');
    expect(allowed((await turn(any, 'null')).headers)).toBe('*');
  });
});

describe('a page of another origin', () => {
  it.each(['https://evil.example', 'https://app.example.evil', 'http://app.example', 'null'])(
    '%s may not',
    async (origin) => {
      for (const node of [open, closed])
        for (const answer of [await preflight(node, origin), await turn(node, origin)])
          expect(allowed(answer.headers)).toBeNull();
    },
  );

  it('may not, nor any, where none is named; and the paths are as without it', async () => {
    expect(allowed((await preflight(closed, APP)).headers)).toBeNull();
    expect((await closed.request('PUT', '/completion')).headers.get('allow')).toBe(
      (await open.request('PUT', '/completion')).headers.get('allow'),
    );
    expect((await open.get('/openapi.json')).text).toBe((await closed.get('/openapi.json')).text);
  });
});

it.each(['app.example', 'https://app.example/', 'https://app.example/page', 'ftp://app.example', 'https://*.example'])(
  'a setting of %s is refused',
  (corsOrigins) => {
    expect(() => loadConfig({ flags: { corsOrigins }, env: {} })).toThrow(/--cors-origins must list origins/);
  },
);
