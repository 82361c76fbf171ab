// Chats with a node through OpenAI's own client, unmodified: whole histories, streams, choices, retries, refusals. Tries to get
// something ignored in silence, written although it must not be, or answered twice.
import { fileURLToPath } from 'node:url';
import OpenAI, { APIError } from 'openai';
import type { ChatCompletionCreateParamsNonStreaming, ChatCompletionMessageParam } from 'openai/resources';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventsOf, type InProcessNode, type Json, startTestNode } from '../../../../tools/test-node.ts';

let node: InProcessNode;
let openai: OpenAI;
beforeAll(async () => {
  node = await startTestNode({ bodyBytesMax: 16_000_000 });
  openai = clientOf(node);
});
afterAll(() => node.close());

const clientOf = ({ url }: InProcessNode, options: object = {}) =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0, ...options });
const user = (content: string): ChatCompletionMessageParam => ({ role: 'user', content });
const create = (body: Partial<ChatCompletionCreateParamsNonStreaming>, options = {}): Promise<Json> =>
  openai.chat.completions.create({ model: 'any', messages: [user('hello')], ...body }, options);
const placeOf = (completion: Json) => completion.choices[0].discedge;
const sessionsOf = async (name: string) => (await node.get(`/sessions?user_id=${name}`)).body.data;
const refusal = async (body: object): Promise<APIError> => {
  const error = await create(body).catch((thrown: unknown) => thrown);
  if (error instanceof APIError) return error;
  throw new Error(`answered: ${JSON.stringify(error)}`);
};

describe('a chat', () => {
  it('goes on from the exact ids of what was stored, with its replies as the client got them', async () => {
    const messages: ChatCompletionMessageParam[] = [{ role: 'system', content: 'Be brief.' }];
    let before: Json;
    for (let turn = 1; turn <= 5; turn++) {
      messages.push(user(`message ${turn}`));
      const completion = await create({ messages });
      expect(completion.choices[0]).toMatchObject({
        finish_reason: 'stop',
        message: { role: 'assistant', content: `Turn ${turn}: message ${turn}`, refusal: null },
        discedge: { turn, based_on_turn: turn - 1, replayed: false, exact_ids: true },
      });
      const { usage } = completion;
      expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens);
      if (before !== undefined) {
        expect(placeOf(completion).session_id).toBe(placeOf(before).session_id);
        expect(usage.prompt_tokens_details.cached_tokens).toBe(before.usage.total_tokens - 1);
      }
      messages.push(completion.choices[0].message);
      before = completion;
    }
  });

  it('is the same whatever form its texts were sent in', async () => {
    const first = await create({ messages: [user('form')] });
    const { content } = first.choices[0].message;
    const parts = [{ type: 'text' as const, text: 'form' }];
    const messages = [
      { role: 'user' as const, content: parts },
      { role: 'assistant' as const, content: [{ type: 'text' as const, text: content }], annotations: [], audio: null },
      user('on'),
    ];
    expect(placeOf(await create({ messages }))).toMatchObject({ session_id: placeOf(first).session_id, turn: 2 });
  });

  it('goes on in a session by its turn, where its client says so, with the new message alone', async () => {
    const first = placeOf(
      await create({ messages: [{ role: 'system', content: 'Brief.' }, user('one')], user: 'ada' }),
    );
    const at = { session_id: first.session_id, turn: 2, user: 'ada', messages: [user('two')] };
    expect(placeOf(await create(at))).toMatchObject({ session_id: first.session_id, turn: 2, based_on_turn: 1 });
    expect(placeOf(await create(at))).toMatchObject({ turn: 2, replayed: true });
    expect(await refusal({ ...at, turn: 9 })).toMatchObject({
      status: 503,
      code: 'context_stale',
      type: 'server_error',
    });
  });
});

describe('tools in a session', () => {
  const chatTemplateFile = fileURLToPath(new URL('../../../support/chat-templates/qwen2-5.jinja', import.meta.url));
  const tools = [{ type: 'function', function: { name: 'time', parameters: { type: 'object' } } }];
  // The scripted service repeats what it is told, which under this template may be a result.
  const asked = user('<tool_call>\n{"name": "time", "arguments": {"zone": "CET"}}\n</tool_call>');

  it.each(['tokenized', 'raw'])('a result is sent without the call that it answers: %s', async (mode) => {
    const tooled = await startTestNode({ chatTemplateFile, mode });
    const chat = (body: object) => tooled.post('/v1/chat/completions', { model: 'any', ...body });
    const first = (await chat({ session_id: 'tools', turn: 1, tools, messages: [asked] })).body;
    const [call] = first.choices[0].message.tool_calls;
    expect(call.function).toMatchObject({ name: 'time', arguments: expect.stringContaining('CET') });
    const result = (id: string) => ({
      ...{ session_id: 'tools', turn: 2 },
      messages: [{ role: 'tool', tool_call_id: id, content: 'noon' }],
    });
    const refused = await chat(result('call_of_nobody'));
    expect(refused.status).toBe(400);
    expect(refused.body.error).toMatchObject({ code: 'invalid_request', param: 'messages' });
    const opening = { ...result(call.id), session_id: 'another', turn: 1 };
    expect((await chat(opening)).status).toBe(400);
    const second = await chat(result(call.id));
    expect(second.body.choices?.[0]).toMatchObject({
      message: { content: expect.stringContaining('noon') },
      discedge: { session_id: 'tools', turn: 2, based_on_turn: 1 },
    });
    await tooled.close();
  });
});

describe('a stream', () => {
  it('has a role, the text in pieces, an end with its place, the usage where asked for, and [DONE]', async () => {
    const body = { messages: [user('stream me')], stream: true, stream_options: { include_usage: true } };
    const answer = await node.post('/v1/chat/completions', body);
    expect(answer.headers.get('content-type')).toContain('text/event-stream');
    expect(answer.text.endsWith('data: [DONE]\n\n')).toBe(true);
    const chunks = eventsOf(answer.text.replace('data: [DONE]\n\n', ''));
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    const choices = chunks.flatMap((chunk) => chunk.choices);
    expect(choices[0].delta).toMatchObject({ role: 'assistant' });
    expect(choices.map(({ delta }) => delta.content ?? '').join('')).toBe('Turn 1: stream me');
    expect(choices.at(-1)).toMatchObject({ finish_reason: 'stop', delta: {}, discedge: { turn: 1 } });
    expect(choices.slice(0, -1).every(({ finish_reason }) => finish_reason === null)).toBe(true);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: expect.any(Number) } });
  });

  it('is read by the client, and can be gone on from', async () => {
    const stream = openai.chat.completions.stream({ model: 'any', messages: [user('and by you')] });
    const { content } = (await stream.finalChatCompletion()).choices[0]?.message ?? {};
    expect(content).toBe('Turn 1: and by you');
    const messages = [user('and by you'), { role: 'assistant' as const, content: content as string }, user('more')];
    expect(placeOf(await create({ messages }))).toMatchObject({ turn: 2 });
  });

  it('of several choices has the pieces of each under its number', async () => {
    const answer = await node.post('/v1/chat/completions', { messages: [user('pick')], stream: true, n: 3 });
    const choices: Json[] = eventsOf(answer.text.replace('data: [DONE]\n\n', '')).flatMap(({ choices }) => choices);
    for (const index of [0, 1, 2]) {
      const own = choices.filter((choice) => choice.index === index);
      expect(own.map(({ delta }) => delta.content ?? '').join('')).toBe('Turn 1: pick');
      expect(own.at(-1).finish_reason).toBe('stop');
    }
  });
});

describe('choices', () => {
  it('are replies of their own, each of which can be gone on from', async () => {
    const { choices } = await create({ messages: [user('which')], n: 3 });
    const places = choices.map(({ discedge }: Json) => discedge);
    expect(new Set(places.map(({ context_id }: Json) => context_id)).size).toBe(3);
  });

  it('are bounded, and one to a turn of a session', async () => {
    expect(await refusal({ n: 9 })).toMatchObject({ status: 400, param: 'n' });
    expect(await refusal({ n: 2, session_id: 's' } as object)).toMatchObject({ status: 400, param: 'n' });
  });
});

describe('what is not to be kept', () => {
  it('is not written, by the request or by the setting, unless the request says so', async () => {
    const forgetful = await startTestNode({ keepConversations: false });
    const other = clientOf(forgetful);
    const records = async (at: InProcessNode) => (await at.get('/ready')).body.store.records;
    const before = await records(node);
    const completion = await create({ messages: [user('secret')], store: false });
    expect(completion.choices[0].message.content).toBe('Turn 1: secret');
    expect(placeOf(completion)).toBeUndefined();
    expect(await records(node)).toBe(before);
    const body = { model: 'any', messages: [user('secret')] };
    await other.chat.completions.create(body);
    expect(await records(forgetful)).toBe(0);
    await other.chat.completions.create({ ...body, store: true });
    expect(await records(forgetful)).toBe(1);
    await forgetful.close();
  });

  it("is not somebody else's to go on from", async () => {
    const { content } = (await create({ messages: [user('mine')], user: 'ada' })).choices[0].message;
    const messages = [user('mine'), { role: 'assistant' as const, content }, user('more')];
    expect(placeOf(await create({ messages, user: 'bob' }))).toMatchObject({ turn: 1 });
    expect(placeOf(await create({ messages, user: 'ada' }))).toMatchObject({ turn: 2 });
  });
});

describe('a request that comes again', () => {
  it("is answered from the record where it is the client library's own retry", async () => {
    const asked = { messages: [user('once')], user: 'retry' };
    const first = await create(asked);
    const again = await create(asked, { headers: { 'x-stainless-retry-count': '1' } });
    expect(placeOf(again)).toMatchObject({ replayed: true, context_id: placeOf(first).context_id });
    expect(again.choices[0].message).toEqual(first.choices[0].message);
    expect(await sessionsOf('retry')).toHaveLength(1);
    expect(placeOf(await create(asked))).toMatchObject({ replayed: false });
    expect(await sessionsOf('retry')).toHaveLength(2);
  });

  it('is answered once under one idempotency key', async () => {
    const asked = { messages: [user('paid once')], user: 'key' };
    const all = await Promise.all([1, 2, 3].map(() => create(asked, { headers: { 'idempotency-key': 'k' } })));
    expect(new Set(all.map((one) => placeOf(one).context_id)).size).toBe(1);
    expect(await sessionsOf('key')).toHaveLength(1);
    const long = { headers: { 'idempotency-key': 'k'.repeat(300) } };
    await expect(create(asked, long)).rejects.toMatchObject({ status: 400, param: 'idempotency-key' });
  });
});

describe('is refused by name', () => {
  const call = { id: 'call_1', type: 'function' as const, function: { name: 'f', arguments: '{}' } };
  const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } };
  it.each<[string, object, string, string]>([
    ['audio', { audio: { voice: 'alloy', format: 'wav' } }, 'audio', 'unsupported_parameter'],
    ['functions', { functions: [] }, 'functions', 'unsupported_parameter'],
    ['web search', { web_search_options: {} }, 'web_search_options', 'unsupported_parameter'],
    ['a prediction', { prediction: { type: 'content', content: 'x' } }, 'prediction', 'unsupported_parameter'],
    ['effort', { reasoning_effort: 'high' }, 'reasoning_effort', 'unsupported_parameter'],
    ['another service tier', { service_tier: 'flex' }, 'service_tier', 'invalid_request'],
    ['a field that nobody knows', { temprature: 1 }, 'temprature', 'invalid_request'],
    ['an empty conversation', { messages: [] }, 'messages', 'invalid_request'],
    ['a role that nobody has', { messages: [{ role: 'function', content: '' }] }, 'messages.0.role', 'invalid_request'],
    ['an image', { messages: [{ role: 'user', content: [image] }] }, 'messages.0.content.0', 'unsupported_parameter'],
    ['a name', { messages: [{ role: 'user', content: 'x', name: 'y' }] }, 'messages.0.name', 'unsupported_parameter'],
    [
      'a result without its call',
      { messages: [user('x'), { role: 'tool', tool_call_id: 'call_1', content: '1' }] },
      'messages.1.tool_call_id',
      'invalid_request',
    ],
    [
      'a result of an older call',
      {
        messages: [
          { role: 'assistant', tool_calls: [call] },
          { role: 'assistant', content: 'no' },
          { role: 'tool', tool_call_id: 'call_1', content: '1' },
        ],
      },
      'messages.2.tool_call_id',
      'invalid_request',
    ],
    ['half a character', { messages: [user('\ud83d')] }, 'messages.0.content', 'invalid_request'],
    ['probabilities beyond their bound', { logprobs: true, top_logprobs: 21 }, 'top_logprobs', 'invalid_request'],
    ['top_logprobs alone', { top_logprobs: 2 }, 'top_logprobs', 'invalid_request'],
    ['a choice of tools without any', { tool_choice: 'required' }, 'tool_choice', 'invalid_request'],
    ['too many pairs of metadata', { metadata: pairs(17) }, 'metadata', 'invalid_request'],
    [
      'a long key of metadata',
      { metadata: { ['k'.repeat(65)]: 'v' } },
      `metadata.${'k'.repeat(65)}`,
      'invalid_request',
    ],
    ['more metadata than a record holds', { metadata: pairs(16, '\u20ac'.repeat(512)) }, 'metadata', 'invalid_request'],
    ['metadata that is no text', { metadata: { 'a\nb': 5 } }, 'metadata', 'invalid_request'],
    [
      'more tokens than there are numbers',
      { max_completion_tokens: 1e308 },
      'max_completion_tokens',
      'invalid_request',
    ],
    ['a session and nothing to be kept', { session_id: 's', store: false }, 'store', 'invalid_request'],
    ['a turn of no session', { turn: 2 }, 'session_id', 'invalid_request'],
  ])('%s', async (_, body, param, code) => {
    expect(await refusal(body)).toMatchObject({ status: 400, param, code, type: 'invalid_request_error' });
  });
});

it('a conversation of ten thousand messages that nobody knows is answered, and gone on from by its exact ids', async () => {
  const known = Array.from({ length: 5_000 }, (_, at) => [
    user(`m ${at}`),
    { role: 'assistant', content: 'yes' },
  ]).flat();
  const messages = [...known, user('end')] as ChatCompletionMessageParam[];
  const { choices } = await openai.chat.completions.create({ model: 'scripted', messages });
  const reply = choices[0]?.message as ChatCompletionMessageParam;
  expect(reply.content).toBe('Turn 5001: end');
  const next = await openai.chat.completions.create({
    model: 'scripted',
    messages: [...messages, reply, user('more')],
  });
  expect(next.choices[0]).toMatchObject({
    message: { content: 'Turn 5002: more' },
    discedge: { based_on_turn: 1, exact_ids: true },
  });
});

function pairs(count: number, value = 'v'): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, value]));
}
