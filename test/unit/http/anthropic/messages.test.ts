// Conversations with a node through Anthropic's own client, unmodified: whole histories, streams, retries, refusals, counting. Tries
// to get something ignored in silence, written although it must not be, or answered twice.
import Anthropic, { APIError } from '@anthropic-ai/sdk';
import type { MessageCreateParamsNonStreaming, MessageParam } from '@anthropic-ai/sdk/resources';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InProcessNode, type Json, startTestNode } from '../../../../tools/test-node.ts';

let node: InProcessNode;
let client: Anthropic;
beforeAll(async () => {
  node = await startTestNode();
  client = clientOf(node);
});
afterAll(() => node.close());

const clientOf = ({ url }: { url: string }, options: object = {}) =>
  new Anthropic({ baseURL: url, apiKey: 'any', maxRetries: 0, ...options });
const user = (content: MessageParam['content']): MessageParam => ({ role: 'user', content });
const create = (body: Partial<MessageCreateParamsNonStreaming> & object, options = {}): Promise<Json> =>
  client.messages.create({ model: 'any', max_tokens: 64, messages: [user('hello')], ...body }, options);
const sessionsOf = async (name: string) => (await node.get(`/sessions?user_id=${name}`)).body.data;
const refusal = async (body: object): Promise<Json> => {
  const error = await create(body).catch((thrown: unknown) => thrown);
  if (error instanceof APIError) return error;
  throw new Error(`answered: ${JSON.stringify(error)}`);
};

describe('a conversation', () => {
  it('goes on from the exact ids of what was stored, with its replies as the client got them', async () => {
    const messages: MessageParam[] = [];
    let before: Json;
    for (let turn = 1; turn <= 4; turn++) {
      messages.push(user(`message ${turn}`));
      const reply = await create({ system: 'Be brief.', messages });
      expect(reply).toMatchObject({
        ...{ type: 'message', role: 'assistant', model: 'scripted', stop_reason: 'end_turn', stop_sequence: null },
        id: expect.stringMatching(/^msg_[0-9a-f]{24}$/),
        content: [{ type: 'text', text: `Turn ${turn}: message ${turn}` }],
        discedge: { turn, based_on_turn: turn - 1, replayed: false, exact_ids: true },
      });
      if (before !== undefined) {
        const { input_tokens, cache_read_input_tokens, output_tokens } = before.usage;
        expect(reply.discedge.session_id).toBe(before.discedge.session_id);
        expect(reply.usage.cache_read_input_tokens).toBe(input_tokens + cache_read_input_tokens + output_tokens - 1);
      }
      messages.push({ role: 'assistant', content: reply.content });
      before = reply;
    }
  });

  it('is the same whatever form its texts were sent in, and whatever is to be cached of it', async () => {
    const cached = { type: 'text' as const, text: 'form', cache_control: { type: 'ephemeral' as const } };
    const first = await create({ system: 'S', messages: [user('form')] });
    const { text } = first.content[0];
    const second = await create({
      system: [{ ...cached, text: 'S' }],
      messages: [user([cached]), { role: 'assistant', content: text }, user('on')],
    });
    expect(second.discedge).toMatchObject({ session_id: first.discedge.session_id, turn: 2 });
  });

  it('is somebody’s own: whose it is says metadata.user_id', async () => {
    await create({ metadata: { user_id: 'ann' } });
    expect(await sessionsOf('ann')).toHaveLength(1);
    expect(await sessionsOf('bob')).toHaveLength(0);
  });

  it('of which nothing is to be kept leaves nothing', async () => {
    const reply = await create({ metadata: { user_id: 'carl' }, store: false } as object);
    expect(reply).not.toHaveProperty('discedge');
    expect(await sessionsOf('carl')).toHaveLength(0);
  });

  it.each([
    ['its limit', { max_tokens: 3 }, { stop_reason: 'max_tokens', stop_sequence: null }],
    ['a stop sequence', { stop_sequences: ['1:'] }, { stop_reason: 'stop_sequence', stop_sequence: '1:' }],
  ])('ends by %s', async (_, body, end) => {
    expect(await create({ ...body, top_p: 0.5, top_k: 3, temperature: 0 } as object)).toMatchObject(end);
  });
});

describe('a stream', () => {
  it('is read by the client’s own reader, block by block', async () => {
    const stream = client.messages.stream({ model: 'any', max_tokens: 64, messages: [user('streamed')] });
    const types: string[] = [];
    let text = '';
    stream.on('streamEvent', ({ type }) => types.push(type)).on('text', (piece) => (text += piece));
    const message: Json = await stream.finalMessage();
    expect(text).toBe('Turn 1: streamed');
    expect(message).toMatchObject({ content: [{ type: 'text', text }], stop_reason: 'end_turn' });
    expect(message.usage.output_tokens).toBe(17);
    const compact = types.filter((type, at) => type !== types[at - 1]);
    expect(compact).toEqual([
      ...['message_start', 'content_block_start', 'content_block_delta', 'content_block_stop'],
      ...['message_delta', 'message_stop'],
    ]);
  });

  it('says on the wire the type of each event, and where the turn now is', async () => {
    const answer = await node.post('/v1/messages', { max_tokens: 64, messages: [user('wire')], stream: true });
    const events = answer.text
      .trim()
      .split('\n\n')
      .map((event) => event.split('\n'));
    for (const [type, data] of events)
      expect(type).toBe(`event: ${JSON.parse((data as string).slice('data: '.length)).type}`);
    expect(events.map(([type]) => type)).toContain('event: ping');
    expect(answer.text).toContain('"discedge":{"session_id":');
  });
});

describe('a request that is sent again', () => {
  it('by the client’s own retry has one effect, and an equal reply', async () => {
    let lost = 0;
    const losing = async (input: string | URL | Request, init?: RequestInit) => {
      const response = await fetch(input as string, init);
      if (lost++ > 0) return response;
      await response.text();
      throw new TypeError('the connection broke');
    };
    const retrying = clientOf(node, { maxRetries: 2, fetch: losing });
    const body = { model: 'any', max_tokens: 64, messages: [user('pay 5 EUR')], metadata: { user_id: 'dora' } };
    const reply: Json = await retrying.messages.create(body);
    expect(reply.discedge.replayed).toBe(true);
    expect(reply.content).toEqual([{ type: 'text', text: 'Turn 1: pay 5 EUR', citations: null }]);
    expect((await sessionsOf('dora')).map(({ turns }: Json) => turns)).toEqual([1]);
  });

  it('by its user is another reply', async () => {
    const body = { metadata: { user_id: 'eric' } };
    expect((await create(body)).discedge.replayed).toBe(false);
    expect((await create(body)).discedge.replayed).toBe(false);
  });

  it('under a key is the same', async () => {
    const options = { headers: { 'idempotency-key': 'k1' } };
    const first = await create({ messages: [user('keyed')] }, options);
    const again = await create({ messages: [user('keyed')] }, options);
    expect(again).toMatchObject({ content: first.content, discedge: { replayed: true } });
  });
});

describe('is refused by name', () => {
  const block = (fields: object) => ({ messages: [user([fields as never])] });
  it.each([
    ['thinking', { thinking: { type: 'enabled', budget_tokens: 2000 } }],
    ['mcp_servers', { mcp_servers: [] }],
    ['container', { container: 'c' }],
    ['messages.0.content.0', block({ type: 'image', source: {} })],
    ['messages.0.content.0', block({ type: 'document', source: {} })],
    ['messages.0.content.0', block({ type: 'server_tool_use' })],
    ['messages.0.content.0', block({ type: '__proto__' })],
    [
      'messages.0.content.0',
      { messages: [{ role: 'assistant', content: [{ type: '__proto__', text: 'x' }] }, user('x')] },
    ],
    ['messages.0.content.0.more', { messages: [user([{ type: 'text', text: 'x', more: 1 } as never])] }],
    ['messages', { messages: [user('a'), { role: 'assistant', content: 'Once upon' }] }],
    ['tools.0.type', { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }],
    ['tools.0.more', { tools: [{ name: 'f', input_schema: { type: 'object' }, more: 1 }] }],
  ])('%s', async (param, body) => {
    const error = await refusal(body);
    expect(error.status).toBe(400);
    expect(error.error).toMatchObject({
      type: 'error',
      error: { type: 'invalid_request_error', code: 'unsupported_parameter', param },
    });
  });

  const call = { type: 'tool_use' as const, id: 'call_1', name: 'f', input: {} };
  it.each([
    ['max_tokens', { max_tokens: undefined }],
    ['max_tokens', { max_tokens: 0 }],
    ['temperature', { temperature: 2 }],
    ['messages', { messages: [] }],
    ['tempature', { tempature: 1 }],
    ['metadata', { metadata: { user: 'x' } }],
    ['messages.0.content', { messages: [user([])] }],
    ['messages.0.content', { messages: [user('\ud800')] }],
    ['messages.0.content.0.tool_use_id', block({ type: 'tool_result', tool_use_id: 'call_1' })],
    [
      'messages.2.content.0.tool_use_id',
      {
        messages: [
          user('a'),
          { role: 'assistant', content: [call] },
          user([{ type: 'tool_result', tool_use_id: 'call_2' }]),
        ],
      },
    ],
    [
      'tools.1.name',
      {
        tools: [
          { name: 'f', input_schema: { type: 'object' } },
          { name: 'f', input_schema: { type: 'object' } },
        ],
      },
    ],
    ['tool_choice', { tool_choice: { type: 'any' } }],
    [
      'tool_choice.name',
      { tools: [{ name: 'f', input_schema: { type: 'object' } }], tool_choice: { type: 'tool', name: 'g' } },
    ],
  ])('what cannot be: %s', async (param, body) => {
    const error = await refusal(body);
    expect(error.error.error).toMatchObject({ type: 'invalid_request_error', code: 'invalid_request' });
    expect(error.error.error.param ?? '').toContain(param.split('.')[0]);
  });

  it('in Anthropic’s words for each status, with the request’s id where its clients look', async () => {
    const answer = await node.post('/v1/messages/nowhere', {});
    expect(answer).toMatchObject({ status: 404, body: { type: 'error', error: { type: 'not_found_error' } } });
    const error = await refusal({ max_tokens: -1 });
    expect(error.requestID).toMatch(/^[0-9a-f-]{36}$/);
    expect((await node.request('GET', '/v1/messages')).body.error).toMatchObject({ code: 'method_not_allowed' });
  });
});

it('tokens are counted as the prompt will have them, and nothing is stored', async () => {
  const messages = [user('count me')];
  const counted = await client.messages.countTokens({ model: 'any', system: 'Be brief.', messages });
  const { usage } = await create({ system: 'Be brief.', messages });
  expect(counted.input_tokens).toBe(usage.input_tokens + usage.cache_read_input_tokens);
  await expect(client.messages.countTokens({ model: 'any', messages, max_tokens: 3 } as never)).rejects.toThrow(
    /max_tokens/,
  );
});
