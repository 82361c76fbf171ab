// OpenAI's own client, unmodified, against a node: makes responses, whole and streamed, goes on after them, branches, asks for
// them again, lists what they were asked, deletes them; cuts streams and goes on with them; sends what is wrong. The scripted
// model says which turn it is at, so that a context that lost or doubled a turn shows.
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InProcessNode, startTestNode } from '../../../../tools/test-node.ts';
import { failure } from '../../../support/api-failure.ts';

let node: InProcessNode;
let client: OpenAI;
beforeAll(async () => {
  node = await startTestNode({ llm: 'scripted', replyTokensMax: 1_048_576, bodyBytesMax: 4 * 1_048_576 });
  client = new OpenAI({ baseURL: `${node.url}/v1`, apiKey: 'any', maxRetries: 2 });
});
afterAll(() => node.close());

/** What the scripted model is busy with until it is stopped. */
const endless = { input: 'x'.repeat(600_000), max_output_tokens: 1_000_000 };
const create = (fields: object) =>
  client.responses.create({ model: 'scripted', ...fields } as OpenAI.Responses.ResponseCreateParamsNonStreaming);
const streamed = async (fields: object) => {
  const events: OpenAI.Responses.ResponseStreamEvent[] = [];
  const stream = await client.responses.create({
    model: 'scripted',
    stream: true,
    ...fields,
  } as OpenAI.Responses.ResponseCreateParamsStreaming);
  for await (const event of stream) events.push(event);
  return events;
};
const textOf = (events: readonly OpenAI.Responses.ResponseStreamEvent[]) =>
  events.flatMap((event) => (event.type === 'response.output_text.delta' ? [event.delta] : [])).join('');

describe('a response', () => {
  it('is made, shown again with all that was said, and gone on from', async () => {
    const metadata = { topic: 'greeting', who: 'ada' };
    const one = await create({ input: 'hello', instructions: 'be kind', metadata, temperature: 0.5 });
    expect(one).toMatchObject({ object: 'response', status: 'completed', output_text: 'Turn 1: hello', metadata });
    expect(one).toMatchObject({ temperature: 0.5, instructions: 'be kind', previous_response_id: null, error: null });
    expect(one.output[0]).toMatchObject({ type: 'message', role: 'assistant', status: 'completed' });
    expect(one.usage?.total_tokens).toBe((one.usage?.input_tokens ?? 0) + (one.usage?.output_tokens ?? 0));
    const two = await create({ input: 'more', instructions: 'be kind', previous_response_id: one.id });
    expect(two).toMatchObject({ output_text: 'Turn 2: more', previous_response_id: one.id });
    expect(two.usage?.input_tokens_details.cached_tokens).toBeGreaterThan(0);
    for (const made of [one, two]) expect(await client.responses.retrieve(made.id)).toEqual(made);
    const three = await create({ input: 'and more', previous_response_id: two.id });
    expect(three).toMatchObject({ output_text: 'Turn 3: and more', instructions: null });
    expect(await client.responses.retrieve(three.id)).toEqual(three);
  });

  it('can be gone on from more than once: an id that is not the latest branches', async () => {
    const one = await create({ input: 'root' });
    const replies = await Promise.all(['a', 'b', 'a'].map((input) => create({ input, previous_response_id: one.id })));
    expect(replies.map(({ output_text }) => output_text)).toEqual(['Turn 2: a', 'Turn 2: b', 'Turn 2: a']);
    expect(new Set(replies.map(({ id }) => id)).size).toBe(3);
    const next = await create({ input: 'c', previous_response_id: replies[1]?.id });
    expect(next.output_text).toBe('Turn 3: c');
  });

  it('of items is asked them, which are listed page by page', async () => {
    const input = ['one', 'two', 'three'].map((content) => ({ role: 'user' as const, content }));
    const response = await create({ input });
    const asc = await client.responses.inputItems.list(response.id, { order: 'asc', limit: 2 });
    const all = [];
    for await (const item of asc) all.push(item);
    expect(all.map((item) => (item as { content: { text: string }[] }).content[0]?.text)).toEqual([
      'one',
      'two',
      'three',
    ]);
    const [newest] = (await client.responses.inputItems.list(response.id, { limit: 1 })).data;
    expect(newest).toEqual(all[2]);
    const beyond = await client.responses.inputItems.list(response.id, { after: all[0]?.id as string });
    expect(beyond.data).toEqual([]);
    expect((await failure(client.responses.inputItems.list(response.id, { after: 'msg_none' }) as never)).param).toBe(
      'after',
    );
  });

  it('that is cut by its limit is incomplete, and says why', async () => {
    const response = await create({ input: 'a long message that goes on and on', max_output_tokens: 3 });
    expect(response).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } });
    expect(await client.responses.retrieve(response.id)).toEqual(response);
  });

  it('is deleted: gone for whoever asks, while those that go on from it keep their context', async () => {
    const one = await create({ input: 'one' });
    const two = await create({ input: 'two', previous_response_id: one.id });
    await client.responses.delete(one.id);
    expect((await failure(client.responses.retrieve(one.id))).status).toBe(404);
    expect((await failure(client.responses.delete(one.id))).code).toBe('response_not_found');
    expect((await failure(create({ input: 'x', previous_response_id: one.id }))).code).toBe(
      'previous_response_not_found',
    );
    expect(await create({ input: 'three', previous_response_id: two.id })).toMatchObject({
      output_text: 'Turn 3: three',
    });
  });

  it('that is not to be kept leaves nothing, whatever it goes on from', async () => {
    const before = (await node.get('/sessions')).body.data.length;
    const one = await create({ input: 'hello', store: false });
    expect(one).toMatchObject({ output_text: 'Turn 1: hello', store: false });
    expect((await node.get('/sessions')).body.data).toHaveLength(before);
    expect((await failure(client.responses.retrieve(one.id))).status).toBe(404);
    const kept = await create({ input: 'kept' });
    const two = await create({ input: 'more', store: false, previous_response_id: kept.id });
    expect(two.output_text).toBe('Turn 2: more');
    expect((await create({ input: 'more', previous_response_id: kept.id })).output_text).toBe('Turn 2: more');
  });

  it('has as many input tokens as are counted beforehand', async () => {
    const asked = { input: 'how many', instructions: 'count' };
    const { input_tokens } = await client.responses.inputTokens.count(asked);
    const response = await create(asked);
    expect(response.usage?.input_tokens).toBe(input_tokens);
    const next = { input: 'and now', instructions: 'count', previous_response_id: response.id };
    const counted = await client.responses.inputTokens.count(next);
    expect((await create(next)).usage?.input_tokens).toBe(counted.input_tokens);
  });
});

describe('a history that the client keeps', () => {
  const history = (length: number) =>
    Array.from({ length }, (_, at) => ({
      role: at % 2 === length % 2 ? ('assistant' as const) : ('user' as const),
      content: `said ${at}`,
    }));

  it('is taken whole, as long as it may be, and gone on from', async () => {
    const one = await create({ input: history(1_024) });
    expect(one.output_text).toBe('Turn 512: said 1023');
    const two = await create({ input: 'more', previous_response_id: one.id });
    expect(two.output_text).toBe('Turn 513: more');
    const kept = await client.responses.inputItems.list(one.id, { limit: 100 });
    expect(kept.data).toHaveLength(100);
  });

  it('of 10,000 items is answered, kept or not, and gone on from; one that is longer is refused by name', async () => {
    const answered = await create({ input: history(10_000), store: false });
    expect(answered.output_text).toBe('Turn 5000: said 9999');
    const refused = { status: 400, code: 'invalid_request', param: 'input' };
    const kept = await create({ input: history(10_000) });
    expect(kept).toMatchObject({
      output_text: answered.output_text,
      usage: { input_tokens: answered.usage?.input_tokens },
    });
    const next = await create({ input: 'more', previous_response_id: kept.id });
    expect(next.output_text).toBe('Turn 5001: more');
    expect(await failure(create({ input: history(10_001), store: false }))).toMatchObject(refused);
  });
});

describe('a streamed response', () => {
  it('has all events that clients wait for, in order, and ends as the response that is stored', async () => {
    const events = await streamed({ input: 'hello' });
    const types = events.map(({ type }) => type).filter((type, at, all) => type !== all[at - 1]);
    expect(types).toEqual([
      ...['response.created', 'response.in_progress', 'response.output_item.added', 'response.content_part.added'],
      ...['response.output_text.delta', 'response.output_text.done', 'response.content_part.done'],
      ...['response.output_item.done', 'response.completed'],
    ]);
    const numbers = events.map(({ sequence_number }) => sequence_number);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(textOf(events)).toBe('Turn 1: hello');
    const last = events.at(-1) as OpenAI.Responses.ResponseCompletedEvent;
    const created = events[0] as OpenAI.Responses.ResponseCreatedEvent;
    expect(created.response.id).toBe(last.response.id);
    const { output_text: _, ...stored } = await client.responses.retrieve(last.response.id);
    expect(last.response).toEqual(stored);
  });

  it('is gone on with after any event, exactly, from its record', async () => {
    const events = await streamed({ input: 'a message with some words' });
    const { id } = (events[0] as OpenAI.Responses.ResponseCreatedEvent).response;
    for (const [at, { sequence_number }] of events.entries()) {
      const rest: OpenAI.Responses.ResponseStreamEvent[] = [];
      const query = { stream: true as const, starting_after: sequence_number };
      for await (const event of await client.responses.retrieve(id, query)) rest.push(event);
      expect(textOf([...events.slice(0, at + 1), ...rest])).toBe(textOf(events));
      expect(rest.every((event) => event.sequence_number > sequence_number)).toBe(true);
      expect(rest.at(-1)).toEqual(at === events.length - 1 ? undefined : events.at(-1));
    }
  });

  it('is read by the helper of the client', async () => {
    const final = await client.responses.stream({ model: 'scripted', input: 'hello' }).finalResponse();
    expect(final.output_text).toBe('Turn 1: hello');
  });
});

describe('in the background', () => {
  it('a response is told at once, found while it is made and when it is done', async () => {
    const begun = await create({ input: 'hello', background: true });
    expect(['queued', 'in_progress']).toContain(begun.status);
    const events: OpenAI.Responses.ResponseStreamEvent[] = [];
    for await (const event of await client.responses.retrieve(begun.id, { stream: true })) events.push(event);
    expect(textOf(events)).toBe('Turn 1: hello');
    expect(await client.responses.retrieve(begun.id)).toMatchObject({
      status: 'completed',
      output_text: 'Turn 1: hello',
    });
    expect(await client.responses.cancel(begun.id)).toMatchObject({ status: 'completed' });
  });

  it('a response that is cancelled while it is made is told so wherever it is followed, and leaves nothing', async () => {
    const sessions = async () => (await node.get('/sessions')).body.data.length;
    const before = await sessions();
    const begun = await create({ ...endless, background: true });
    const types: string[] = [];
    let cancelled: OpenAI.Responses.Response | undefined;
    for await (const event of await client.responses.retrieve(begun.id, { stream: true })) {
      types.push(event.type);
      if (event.type === 'response.output_text.delta') cancelled ??= await client.responses.cancel(begun.id);
    }
    expect(types.at(-1)).toBe('response.cancelled');
    expect(cancelled).toMatchObject({ id: begun.id, status: 'cancelled', output: [], error: null, completed_at: null });
    const { output_text: _, ...shown } = await client.responses.retrieve(begun.id);
    expect(shown).toEqual(cancelled);
    expect(await client.responses.cancel(begun.id)).toEqual(cancelled);
    expect(await sessions()).toBe(before);
    const next = failure(create({ input: 'x', previous_response_id: begun.id }));
    expect((await next).code).toBe('previous_response_not_found');
    await client.responses.delete(begun.id);
    expect((await failure(client.responses.retrieve(begun.id))).status).toBe(404);
  });

  it('a response on which others go on is not cancelled with one of them', async () => {
    const one = await create({ input: 'one' });
    const two = await create({ ...endless, background: true, previous_response_id: one.id });
    expect(await client.responses.cancel(two.id)).toMatchObject({ status: 'cancelled', previous_response_id: one.id });
    const three = await create({ input: 'three', previous_response_id: one.id });
    expect(three.output_text).toBe('Turn 2: three');
  });

  it('only what is made in the background can be cancelled', async () => {
    const { id } = await create({ input: 'x' });
    expect(await failure(client.responses.cancel(id))).toMatchObject({ status: 400, param: 'response_id' });
    expect(await failure(client.responses.cancel('resp_none'))).toMatchObject({ status: 404 });
  });

  it('what cannot be made is refused at once', async () => {
    const call = create({ input: 'x', background: true, previous_response_id: 'resp_no' });
    expect((await failure(call)).code).toBe('previous_response_not_found');
    expect((await failure(create({ input: 'x', background: true, store: false }))).param).toBe('background');
  });
});

describe('a request that a client library repeats', () => {
  const repeated = { headers: { 'x-stainless-retry-count': '1' } };
  it('is answered from the record: the first of a session, and one that goes on', async () => {
    const fields = { model: 'scripted', input: `said once ${Math.PI}` };
    const one = await client.responses.create(fields);
    expect((await client.responses.create(fields, repeated)).id).toBe(one.id);
    expect((await client.responses.create(fields)).id).not.toBe(one.id);
    const next = { ...fields, previous_response_id: one.id };
    const two = await client.responses.create(next);
    expect(await client.responses.create(next, repeated)).toEqual(two);
  });

  it('and one with a key of its own', async () => {
    const key = { headers: { 'idempotency-key': 'order-7' } };
    const one = await client.responses.create({ model: 'scripted', input: 'keyed' }, key);
    expect((await client.responses.create({ model: 'scripted', input: 'keyed' }, key)).id).toBe(one.id);
    const other = failure(client.responses.create({ model: 'scripted', input: 'other' }, key));
    expect((await other).param).toBe('idempotency-key');
  });
});

const LONG = 'k'.repeat(65);

describe('what is wrong is refused by name', () => {
  it.each<[string, object, number, string, string]>([
    [
      'both chains',
      { input: 'x', previous_response_id: 'resp_a', conversation: 'conv_a' },
      400,
      'invalid_request',
      'previous_response_id',
    ],
    [
      'an unknown id',
      { input: 'x', previous_response_id: 'resp_a' },
      400,
      'previous_response_not_found',
      'previous_response_id',
    ],
    ['no input', {}, 400, 'invalid_request', 'input'],
    ['an unknown item', { input: [{ type: 'computer_call' }] }, 400, 'unsupported_parameter', 'input[0]'],
    [
      'an image',
      { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }] },
      400,
      'unsupported_parameter',
      'input[0].content[0]',
    ],
    ['a role that nobody has', { input: [{ role: 'king', content: 'x' }] }, 400, 'invalid_request', 'input[0]'],
    ['a tool of OpenAI', { input: 'x', tools: [{ type: 'web_search' }] }, 400, 'unsupported_parameter', 'tools[0]'],
    ['an unknown field', { input: 'x', temprature: 1 }, 400, 'invalid_request', 'temprature'],
    ['a prompt of OpenAI', { input: 'x', prompt: { id: 'p' } }, 400, 'unsupported_parameter', 'prompt'],
    ['an effort', { input: 'x', reasoning: { effort: 'high' } }, 400, 'unsupported_parameter', 'reasoning.effort'],
    [
      '17 pairs of metadata',
      { input: 'x', metadata: Object.fromEntries([...Array(17).keys()].map((n) => [`k${n}`, 'v'])) },
      400,
      'invalid_request',
      'metadata',
    ],
    ['a long value', { input: 'x', metadata: { k: 'v'.repeat(513) } }, 400, 'invalid_request', 'metadata.k'],
    ['a long key', { input: 'x', metadata: { [LONG]: 'v' } }, 400, 'invalid_request', `metadata.${LONG}`],
    ['a value that is no text', { input: 'x', metadata: { 'a\nb': 5 } }, 400, 'invalid_request', 'metadata'],
    ['tokens without end', { input: 'x', max_output_tokens: 1e308 }, 400, 'invalid_request', 'max_output_tokens'],
    ['an unknown conversation', { input: 'x', conversation: 'conv_a' }, 404, 'conversation_not_found', 'conversation'],
    ['a call of no tool', { input: 'x', tool_choice: 'required' }, 400, 'invalid_request', 'tool_choice'],
  ])('%s', async (_, fields, status, code, param) => {
    const error = await failure(create(fields));
    expect({ status: error.status, code: error.code, param: error.param }).toEqual({ status, code, param });
  });

  it('an item of another user, in a response and in a conversation', async () => {
    const { output } = await create({ input: 'a secret of ada', user: 'ada' });
    const input = [
      { type: 'item_reference', id: output[0]?.id },
      { role: 'user', content: 'what was it?' },
    ];
    expect((await create({ input, user: 'ada' })).status).toBe('completed');
    expect(await failure(create({ input, user: 'bob' }))).toMatchObject({ status: 400, param: 'input[0]' });
    const items = input as never;
    expect(await failure(client.conversations.create({ items }))).toMatchObject({ status: 400, param: 'items[0]' });
  });

  it('an id of another cluster, a forged one and one of another user, all alike', async () => {
    const one = await create({ input: 'x', user: 'ada' });
    const other = await startTestNode({ llm: 'scripted' });
    const foreign = new OpenAI({ baseURL: `${other.url}/v1`, apiKey: 'any' });
    const calls: Promise<unknown>[] = [
      foreign.responses.create({ model: 'scripted', input: 'x', previous_response_id: one.id }),
      create({ input: 'x', previous_response_id: `${one.id.slice(0, -1)}${one.id.endsWith('A') ? 'B' : 'A'}` }),
      create({ input: 'x', previous_response_id: one.id, user: 'bob' }),
    ];
    for (const error of await Promise.all(calls.map(failure))) {
      expect([error.status, error.code, error.message]).toEqual([
        400,
        'previous_response_not_found',
        '400 there is no such response to go on after',
      ]);
    }
    expect((await failure(foreign.responses.retrieve(one.id))).status).toBe(404);
    expect(await create({ input: 'y', previous_response_id: one.id })).toMatchObject({ output_text: 'Turn 2: y' });
    await other.close();
  });
});
