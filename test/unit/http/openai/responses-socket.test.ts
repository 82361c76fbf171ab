// Responses over a WebSocket, with OpenAI's own client and with a bare one: one after the other on one connection, going on from
// each other and from what came over HTTP; prepared without an answer; refused in events; opened by a page that may not. And plain
// HTTP that offers another protocol, which has to be answered as if it had not.
import { request as plainRequest } from 'node:http';
import OpenAI from 'openai';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { OPEN_SOCKETS_MAX } from '../../../../src/http/connections/open-sockets.ts';
import { type InProcessNode, startTestNode } from '../../../../tools/test-node.ts';

let node: InProcessNode;
let client: OpenAI;
beforeAll(async () => {
  node = await startTestNode({ llm: 'scripted' });
  client = new OpenAI({ baseURL: `${node.url}/v1`, apiKey: 'any' });
});
afterAll(() => node.close());

interface Event {
  readonly type: string;
  readonly response?: { readonly id: string; readonly output: { readonly content: { readonly text: string }[] }[] };
  readonly error?: { readonly code: string; readonly param: string | null };
}

/** Sends messages over one connection, and collects events until so many have ended. */
async function exchange(
  messages: readonly (object | string)[],
  options: object = {},
  { url }: Pick<InProcessNode, 'url'> = node,
): Promise<Event[]> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/responses`, options);
  const events: Event[] = [];
  await new Promise<void>((resolve, reject) => {
    let ended = 0;
    socket.on('error', reject);
    socket.on('open', () => {
      for (const message of messages) socket.send(typeof message === 'string' ? message : JSON.stringify(message));
    });
    socket.on('message', (data) => {
      const event = JSON.parse(String(data)) as Event;
      events.push(event);
      if (/completed|incomplete|failed|error/.test(event.type)) ended++;
      if (ended === messages.length) resolve();
    });
  });
  socket.close();
  return events;
}
const create = (fields: object) => ({ type: 'response.create', model: 'scripted', ...fields });
const ended = (events: readonly Event[]) => events.filter(({ type }) => /completed|error/.test(type));
const textOf = ({ response }: Event) => response?.output[0]?.content[0]?.text;

describe('responses over a socket', () => {
  it("are made with OpenAI's client, and are the same as over HTTP", async () => {
    const socket = new ResponsesWS(client);
    const done = new Promise<OpenAI.Responses.ResponseCompletedEvent>((resolve, reject) => {
      socket.on('response.completed', resolve as never);
      socket.on('error', reject);
    });
    socket.send(create({ input: 'hello' }) as never);
    const { response } = await done;
    socket.close();
    const { output_text, ...stored } = await client.responses.retrieve(response.id);
    expect(output_text).toBe('Turn 1: hello');
    expect(response).toEqual(stored);
  });

  it('are answered one after the other, and go on from each other', async () => {
    const [first] = ended(await exchange([create({ input: 'one' })]));
    const previous_response_id = first?.response?.id;
    const events = await exchange(['two', 'three'].map((input) => create({ input, previous_response_id })));
    expect(ended(events).map(textOf)).toEqual(['Turn 2: two', 'Turn 2: three']);
    const types = events.map(({ type }) => type);
    expect(types.lastIndexOf('response.created')).toBeGreaterThan(types.indexOf('response.completed'));
  });

  it('that generate nothing are read ahead: what goes on from them has it in its context', async () => {
    const [prepared] = ended(await exchange([create({ input: 'one', generate: false })]));
    expect(prepared?.response?.output).toEqual([]);
    const next = await client.responses.create({
      model: 'scripted',
      input: 'two',
      previous_response_id: prepared?.response?.id as string,
    });
    expect(next.output_text).toBe('Turn 2: two');
    expect(next.usage?.input_tokens_details.cached_tokens).toBeGreaterThan(0);
    expect(await client.responses.retrieve(prepared?.response?.id as string)).toMatchObject({ output: [] });
  });

  it.each(['error', 'summarize'] as const)(
    'that generate nothing, where the window is full, under %s',
    async (overflow) => {
      const small = await startTestNode({ llm: 'scripted', contextTokens: 2_048, overflow });
      try {
        const { id: conversation } = (await small.post('/v1/conversations', {})).body;
        const say = (length: number, generate: boolean) =>
          exchange([create({ conversation, input: 'x'.repeat(length), generate, max_output_tokens: 100 })], {}, small);
        await say(1_400, true);
        const [prepared] = ended(await say(600, false));
        if (overflow === 'error') expect(prepared?.error).toMatchObject({ code: 'context_length_exceeded' });
        else expect(prepared?.response?.output).toEqual([]);
        // What was refused is not in the way of what comes next, and what was not waits to be read.
        const [next] = ended(await say(10, true));
        expect(next?.response?.output).toHaveLength(1);
      } finally {
        await small.close();
      }
    },
  );

  it.each<[string, object | string, string, string | null]>([
    ['no JSON', '{', 'invalid_request', null],
    ['another event', { type: 'response.cancel' }, 'invalid_request', 'type'],
    [
      'one nested too deep',
      `{"type":"response.create","input":[{"a":${'['.repeat(9_000)}${']'.repeat(9_000)}}]}`,
      'invalid_request',
      'input',
    ],
    ['the background', create({ input: 'x', background: true }), 'unsupported_parameter', 'background'],
    ['a field of the wrong type', create({ input: 'x', temperature: 'hot' }), 'invalid_request', 'temperature'],
    [
      'an unknown id',
      create({ input: 'x', previous_response_id: 'resp_a' }),
      'previous_response_not_found',
      'previous_response_id',
    ],
  ])('are refused in an event, and the connection goes on: %s', async (_, message, code, param) => {
    const events = ended(await exchange([message, create({ input: 'hello' })]));
    expect(events[0]?.error).toMatchObject({ code, param });
    expect(events.slice(1).map(textOf)).toEqual(['Turn 1: hello']);
  });

  it('are refused where as many sockets are open as may be, until one is closed', async () => {
    const open = () => {
      const socket = new WebSocket(`${node.url.replace('http', 'ws')}/v1/responses`);
      return new Promise<WebSocket | { status: number | undefined; body: string }>((resolve, reject) => {
        socket.on('open', () => resolve(socket));
        socket.on('error', reject);
        socket.on('unexpected-response', async (_, reply) => {
          const body = (await reply.toArray()).join('');
          resolve({ status: reply.statusCode, body });
        });
      });
    };
    const opened: WebSocket[] = [];
    let refused: { status: number | undefined; body: string } | undefined;
    while (refused === undefined && opened.length <= OPEN_SOCKETS_MAX) {
      const one = await open();
      if (one instanceof WebSocket) opened.push(one);
      else refused = one;
    }
    expect(refused?.status).toBe(503);
    expect(JSON.parse(refused?.body ?? '')).toMatchObject({ error: { type: 'server_error', code: 'overloaded' } });
    for (const socket of opened) socket.close();
    await expect.poll(async () => (await open()) instanceof WebSocket).toBe(true);
  });

  it('are finished when the node stops, and then the client is told that it goes', async () => {
    const stopping = await startTestNode({ llm: 'scripted' });
    const socket = new WebSocket(`${stopping.url.replace('http', 'ws')}/v1/responses`);
    const types: string[] = [];
    let stopped: Promise<void> | undefined;
    const code = new Promise((resolve) => socket.on('close', resolve));
    socket.on('open', () => socket.send(JSON.stringify(create({ input: 'word '.repeat(40) }))));
    socket.on('message', (data) => {
      types.push((JSON.parse(String(data)) as Event).type);
      stopped ??= stopping.close();
    });
    expect(await code).toBe(1001);
    expect(types.at(-1)).toBe('response.completed');
    await stopped;
  });

  it('are not made for a page of another origin', async () => {
    await expect(exchange([create({ input: 'x' })], { origin: 'http://evil.example' })).rejects.toThrow(/40\d/);
  });
});

it('a plain request that offers another protocol is answered as plain HTTP, its body included', async () => {
  const body = JSON.stringify({ prompt: 'hello' });
  const headers = {
    ...{ connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABk' },
    ...{ 'content-type': 'application/json', 'content-length': String(body.length) },
  };
  const status = await new Promise((resolve, reject) => {
    const request = plainRequest(`${node.url}/completion`, { method: 'POST', headers, agent: false }, (reply) => {
      reply.resume();
      resolve(reply.statusCode);
    });
    request.on('error', reject);
    request.end(body);
  });
  expect(status).toBe(200);
});
