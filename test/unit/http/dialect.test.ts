// Adds an API that nobody has, through the door that llama.cpp's came in by, and asks of it what every API is promised:
// the same turns, whole or streamed in events of its own, and its own words for whatever goes wrong, wherever it does. Then
// looks whether the API beside it is any different for it.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PrincipalAccounts } from '../../../src/access/principal-accounts.ts';
import { ModelDirectory } from '../../../src/context-manager/model-directory.ts';
import { SealedIds } from '../../../src/domain/encryption/sealed-ids.ts';
import type { NodeId } from '../../../src/domain/identifiers.ts';
import { ANYONE } from '../../../src/domain/principals/principal.ts';
import { type App, createApp, DIALECTS } from '../../../src/http/app.ts';
import { eventText, HEADERS_AFTER_MS, SILENCE_MS_MAX } from '../../../src/http/event-stream.ts';
import { compileChatTemplate } from '../../../src/llm-service/chat-template.ts';
import { NodeUnderTest } from '../../../tools/test-node.ts';
import { contextManagerRig, type Rig } from '../../support/context-manager-rig.ts';
import { toyDialect } from '../../support/toy-dialect.ts';

let rig: Rig;
let app: App;
let node: NodeUnderTest;

beforeAll(async () => {
  rig = await contextManagerRig();
  const { llm, manager: contextManager } = rig;
  const template = await compileChatTemplate(llm.description, (text, how) => llm.tokenize(text, how));
  const { name } = llm.description.identity;
  app = await createApp(
    {
      models: new ModelDirectory([{ name, llm, template, keygroup: contextManager.keygroup, contextManager }]),
      node: rig.node,
      accounts: new PrincipalAccounts({}, rig.node.environment.clock),
      access: { asks: false, onlyLocal: false, authenticate: () => ANYONE },
      ids: new SealedIds(new Uint8Array(32)),
      metricsText: async () => ({ text: '', contentType: 'text/plain' }),
      options: {
        ...{
          version: '0',
          nodeId: 'n' as NodeId,
          storeName: 'memory',
          corsOrigins: [],
          bodyBytesMax: 4096,
          connectionsMax: 100,
          ttlSecondsMax: 600,
        },
        ...{ defaultConsistency: 'strong', defaultWriteConcern: 'local', defaultOverflow: 'error' },
        ...{ maxWaitMs: 0, replicatedWaitMs: 0, maxWaitMsLimit: 0, keepConversations: true },
      },
    },
    [...DIALECTS, toyDialect],
  );
  node = new NodeUnderTest(await app.listen({ port: 0, host: '127.0.0.1' }));
});
afterAll(() => app.close());

let session = '';
let sessions = 0;
beforeEach(() => {
  session = `session-${++sessions}`;
});

const say = (fields: object) => node.post('/toy/say', { to: session, words: 'hello', ...fields });

describe('a turn', () => {
  it('is answered in its words, and is a turn like any other', async () => {
    const bytes = JSON.stringify({ to: session, words: 'hello' }).length;
    expect((await say({})).body).toEqual({ words: 'Turn 1: hello', place: 1, bytes });
    expect((await say({ words: 'more' })).body).toMatchObject({ words: 'Turn 2: more', place: 2 });
    const reply = await node.turn({ prompt: 'and more', session_id: session, turn: 3 });
    expect(reply).toMatchObject({ content: 'Turn 3: and more', based_on_turn: 2 });
  });

  it('is streamed in events with types and ids, to an end of its own', async () => {
    const answer = await say({ live: true });
    expect(answer.headers.get('content-type')).toContain('text/event-stream');
    const events = answer.text.trimEnd().split('\n\n');
    const parts = events.slice(0, -2);
    expect(parts.length).toBeGreaterThan(2);
    const words = parts.map((part, index) => {
      const [event, id, data] = part.split('\n');
      expect([event, id]).toEqual(['event: word', `id: ${index + 1}`]);
      return JSON.parse((data as string).slice('data: '.length)).text;
    });
    expect(words.join('')).toBe('Turn 1: hello');
    expect(events.slice(-2)).toEqual([`event: said\nid: ${parts.length + 1}\ndata: {"place":1}`, 'data: [END]']);
  });

  it('whose client leaves is finished all the same', async () => {
    const hold = rig.llm.hold();
    const leaver = new AbortController();
    const left = node.post('/toy/say', { to: session, words: 'bye', live: true }, leaver.signal).catch(() => 'left');
    await hold.entered;
    leaver.abort();
    expect(await left).toBe('left');
    hold.release();
    expect((await say({ words: 'back' })).body).toMatchObject({ place: 2 });
  });

  it('that is only a prompt is forwarded', async () => {
    const stored = rig.store.appended.length;
    expect((await node.post('/toy/finish', { text: '<|im_start|>user\nhi' })).body).toEqual({ text: 'Turn 1: hi' });
    expect(rig.store.appended).toHaveLength(stored);
  });
});

describe('what goes wrong is said in its envelope', () => {
  it.each<[string, string, string, object | string | undefined, number, object]>([
    [
      'a field of the wrong form',
      'POST',
      '/toy/say',
      { to: '.', words: 'x' },
      400,
      { what: 'invalid_request', where: 'to' },
    ],
    ['no text', 'POST', '/toy/say', { to: 's', words: '' }, 400, { what: 'invalid_request', where: 'words' }],
    ['a field that is missing', 'POST', '/toy/finish', {}, 400, { what: 'invalid_request', where: 'text' }],
    ['not JSON', 'POST', '/toy/say', '{', 400, { what: 'invalid_request' }],
    ['too much', 'POST', '/toy/say', { to: 's', words: 'x'.repeat(5000) }, 413, { what: 'payload_too_large' }],
    ['an unknown route', 'GET', '/toy/nothing', undefined, 404, { what: 'route_not_found' }],
    ['another method', 'GET', '/toy/say', undefined, 405, { what: 'method_not_allowed' }],
    ['another method with a body', 'PUT', '/toy/say', '{', 405, { what: 'method_not_allowed' }],
    ['its bare prefix', 'GET', '/toy', undefined, 404, { what: 'route_not_found' }],
    ['a path that cannot be read', 'GET', '/toy/%E0%A4%A', undefined, 400, { what: 'invalid_request' }],
  ])('%s', async (_, method, path, body, status, expected) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const init = body === undefined ? {} : { body: text, headers: { 'content-type': 'application/json' } };
    const answer = await node.request(method, path, init as never);
    expect(answer.body).toEqual({ oops: expected });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('x-should-retry')).toBe('false');
    expect(answer.headers.get('x-request-id')).toBeTruthy();
  });

  it('a turn that fails before its first event, with its HTTP status', async () => {
    rig.llm.failNext('at once');
    const answer = await say({ live: true });
    expect([answer.status, answer.body]).toEqual([503, { oops: { what: 'llm_unavailable' } }]);
  });

  it('a turn that fails after it, as an event', async () => {
    rig.llm.failNext('midway');
    const answer = await say({ live: true });
    expect(answer.status).toBe(200);
    const last = answer.text.trimEnd().split('\n\n').at(-1);
    expect(last).toMatch(/^event: oops\nid: \d+\ndata: \{"oops":\{"what":"llm_unavailable"\}\}$/);
  });
});

describe.each([
  ['the toy', '/toy/say', () => ({ to: session, words: 'hello', live: true })],
  ['llama.cpp', '/completion', () => ({ session_id: session, prompt: 'hello', stream: true })],
])('a stream that has nothing to say, %s', (_, path, body) => {
  /** The turn is with the LLM Service, which does not answer. */
  async function held() {
    const hold = rig.llm.hold();
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body()) };
    let isBegun = false;
    const begun = fetch(node.url + path, init).then((response) => {
      isBegun = true;
      return response;
    });
    await hold.entered;
    return { hold, begun, isBegun: () => isBegun };
  }

  async function reading(response: Response) {
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    return async () => new TextDecoder().decode((await reader.read()).value);
  }

  it('has its headers after some seconds, and then a comment in time, however long it takes', async () => {
    const { hold, begun, isBegun } = await held();
    await rig.environment.advance(HEADERS_AFTER_MS - 1);
    await node.get('/health');
    expect(isBegun()).toBe(false);
    await rig.environment.advance(1);
    const next = await reading(await begun);
    expect(await next()).toBe(': the turn is under way\n\n');
    for (let round = 0; round < 4; round++) {
      await rig.environment.advance(SILENCE_MS_MAX);
      expect(await next()).toBe(': the turn is under way\n\n');
    }
    hold.release();
    let rest = '';
    for (let text = await next(); text !== ''; text = await next()) rest += text;
    expect(rest).toMatch(/hello|"o"/);
    expect(rest).not.toContain(': the turn');
  });

  it('says then in an event what goes wrong', async () => {
    const { begun } = await held();
    await rig.environment.advance(HEADERS_AFTER_MS);
    const response = await begun;
    expect(response.status).toBe(200);
    expect((await node.post(`/sessions/${session}/cancel`, {})).body).toEqual({ cancelled: true });
    const text = await response.text();
    expect(text.split('\n\n')[0]).toBe(': the turn is under way');
    expect(text.trimEnd().split('\n\n').at(-1)).toContain('turn_cancelled');
  });

  it('leaves no timer behind', async () => {
    const timers = rig.environment.pendingTimers;
    const { hold, begun } = await held();
    await rig.environment.advance(HEADERS_AFTER_MS);
    hold.release();
    await (await begun).text();
    expect(rig.environment.pendingTimers).toBe(timers);
    rig.llm.failNext('at once');
    session = `session-${++sessions}`;
    expect((await node.post(path, body())).status).toBe(503);
    expect(rig.environment.pendingTimers).toBe(timers);
  });
});

describe("llama.cpp's API beside it", () => {
  it.each([
    ['POST', '/completion', 400, 'invalid_request'],
    ['GET', '/nothing', 404, 'route_not_found'],
    ['GET', '/toys', 404, 'route_not_found'],
    ['GET', '/sessions/%E0%A4%A', 400, 'invalid_request'],
  ])('has its own envelope: %s %s', async (method, path, status, type) => {
    const answer = await node.request(
      method,
      path,
      method === 'POST' ? { body: '{}', headers: { 'content-type': 'application/json' } } : {},
    );
    expect(answer.body.error).toMatchObject({ code: status, type });
    expect(answer.status).toBe(status);
  });

  it('and each is described with its own errors', async () => {
    const { paths } = (await node.get('/openapi.json')).body;
    const errorOf = (path: string) =>
      Object.keys(paths[path].post.responses['400'].content['application/json'].schema.properties);
    expect([errorOf('/toy/say'), errorOf('/completion')]).toEqual([['oops'], ['error']]);
  });
});

describe('an event on the wire', () => {
  it('has a line for its type, its id and each line of its data', () => {
    expect(eventText({ data: { a: 'b\nc' } })).toBe('data: {"a":"b\\nc"}\n\n');
    expect(eventText({ event: 'e', id: '7', data: 'one\ntwo\r\nthree' })).toBe(
      'event: e\nid: 7\ndata: one\ndata: two\ndata: three\n\n',
    );
  });

  it.each([{ event: 'a\nb' }, { id: 'a\rb' }, { id: 'a\0b' }])(
    'refuses a type or an id of several lines: %j',
    (wrong) => {
      expect(() => eventText({ ...wrong, data: '' })).toThrow(TypeError);
    },
  );
});
