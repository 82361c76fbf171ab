// OpenAI's own client, unmodified: conversations with items that nobody answered, responses on them one after the other and at
// once, pages of items, metadata, deleting an item, a response, a conversation. What the model has read shows in what it is asked
// next; what was deleted must not show again.
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InProcessNode, startTestNode } from '../../../../tools/test-node.ts';
import { failure } from '../../../support/api-failure.ts';

let node: InProcessNode;
let client: OpenAI;
beforeAll(async () => {
  node = await startTestNode({ llm: 'scripted' });
  client = new OpenAI({ baseURL: `${node.url}/v1`, apiKey: 'any', maxRetries: 0 });
});
afterAll(() => node.close());

const user = (content: string) => ({ type: 'message' as const, role: 'user' as const, content });
const respond = (conversation: string, input: string) =>
  client.responses.create({ model: 'scripted', conversation, input });
const textsOf = async (conversation: string, query: object = { order: 'asc' }) => {
  const texts: string[] = [];
  for await (const item of client.conversations.items.list(conversation, query))
    texts.push((item as unknown as { content: { text: string }[] }).content[0]?.text ?? item.type);
  return texts;
};

describe('a conversation', () => {
  it('is made of items that were added and responses, in order, page by page', async () => {
    const { id, metadata } = await client.conversations.create({ items: [user('first')], metadata: { topic: 'x' } });
    expect(metadata).toEqual({ topic: 'x' });
    const one = await respond(id, 'second');
    expect(one).toMatchObject({ output_text: 'Turn 2: second', conversation: { id } });
    await client.conversations.items.create(id, { items: [user('third'), user('fourth')] });
    const two = await respond(id, 'fifth');
    const all = ['first', 'second', one.output_text, 'third', 'fourth', 'fifth', two.output_text];
    expect(await textsOf(id)).toEqual(all);
    expect(await textsOf(id, { order: 'asc', limit: 2 })).toEqual(all);
    expect(await textsOf(id, {})).toEqual(all.toReversed());
    expect(await client.responses.retrieve(two.id)).toEqual(two);
    expect((await client.responses.inputItems.list(two.id)).data).toHaveLength(1);
  });

  it('has metadata that can be changed, and items that are found one by one', async () => {
    const { id } = await client.conversations.create({ metadata: { a: '1' } });
    expect(await client.conversations.update(id, { metadata: { b: '2' } })).toMatchObject({ id, metadata: { b: '2' } });
    expect((await client.conversations.retrieve(id)).metadata).toEqual({ b: '2' });
    const { data } = await client.conversations.items.create(id, { items: [user('hello')] });
    const item = await client.conversations.items.retrieve(data[0]?.id as string, { conversation_id: id });
    expect(item).toEqual(data[0]);
    await client.conversations.items.delete(item.id as string, { conversation_id: id });
    expect(await textsOf(id)).toEqual([]);
    const gone = client.conversations.items.retrieve(item.id as string, { conversation_id: id });
    expect(await failure(gone)).toMatchObject({ status: 404, code: 'item_not_found' });
  });

  it('has responses one after the other, though they are asked for at once', async () => {
    const { id } = await client.conversations.create();
    const replies = await Promise.all(['a', 'b', 'c'].map((input) => respond(id, input)));
    expect(replies.map(({ output_text }) => output_text.slice(0, 6)).sort()).toEqual(['Turn 1', 'Turn 2', 'Turn 3']);
    expect(await textsOf(id)).toHaveLength(6);
  });

  it('is locked for a response whose wait for another one is over, and free once that has ended', async () => {
    const limits = { maxWaitMs: 0, maxWaitMsLimit: 50, replicatedWaitMs: 0 };
    const hurried = await startTestNode({ llm: 'scripted', replyTokensMax: 1_048_576, ...limits });
    const at = new OpenAI({ baseURL: `${hurried.url}/v1`, apiKey: 'any', maxRetries: 0 });
    const { id: conversation } = await at.conversations.create({ items: [user('first')] });
    const ask = (fields: object) => at.responses.create({ model: 'scripted', conversation, input: 'x', ...fields });
    const endless = { input: 'x'.repeat(600_000), max_output_tokens: 1_000_000, background: true };
    const busy = (await ask(endless)) as OpenAI.Responses.Response;
    const locked = { status: 400, code: 'conversation_locked' };
    expect(await failure(ask({}))).toMatchObject(locked);
    expect(await at.responses.cancel(busy.id)).toMatchObject({ status: 'cancelled' });
    expect(await ask({})).toMatchObject({ output_text: 'Turn 2: x' });
    expect((await at.conversations.items.list(conversation)).data).toHaveLength(3);
    await hurried.close();
  });

  it('keeps the place of a response that was deleted, and its context', async () => {
    const { id } = await client.conversations.create();
    const one = await respond(id, 'one');
    await client.responses.delete(one.id);
    expect((await failure(client.responses.retrieve(one.id))).status).toBe(404);
    expect((await respond(id, 'two')).output_text).toBe('Turn 2: two');
  });

  it('that is deleted is gone, its responses with it', async () => {
    const { id } = await client.conversations.create();
    const one = await respond(id, 'one');
    expect(await client.conversations.delete(id)).toEqual({ id, object: 'conversation.deleted', deleted: true });
    const calls: Promise<unknown>[] = [
      client.conversations.retrieve(id),
      respond(id, 'x'),
      client.conversations.items.list(id),
    ];
    for (const error of await Promise.all(calls.map(failure)))
      expect(error).toMatchObject({ status: 404, code: 'conversation_not_found' });
    expect((await failure(client.responses.retrieve(one.id))).status).toBe(404);
  });
});

describe('what is wrong is refused by name', () => {
  it('21 items, an item that nobody knows, no items, metadata that is none', async () => {
    const { id } = await client.conversations.create();
    const items = Array.from({ length: 21 }, () => user('x'));
    expect(await failure(client.conversations.items.create(id, { items }))).toMatchObject({
      status: 400,
      param: 'items',
    });
    expect(await failure(client.conversations.create({ items }))).toMatchObject({ status: 400, param: 'items' });
    const unknown = client.conversations.items.create(id, { items: [{ type: 'mystery' } as never] });
    expect(await failure(unknown)).toMatchObject({ status: 400, code: 'unsupported_parameter', param: 'items[0]' });
    expect(await failure(client.conversations.items.create(id, { items: [] }))).toMatchObject({
      status: 400,
      param: 'items',
    });
    const long = client.conversations.create({ metadata: { k: 'v'.repeat(513) } });
    expect(await failure(long)).toMatchObject({ status: 400, param: 'metadata.k' });
    expect(await failure(client.conversations.retrieve('conv_none'))).toMatchObject({ status: 404 });
  });
});

it('what is added and would fit no turn’s window is refused, at once or bit by bit, and the conversation goes on', async () => {
  const small = await startTestNode({ llm: 'scripted', contextTokens: 2_048 });
  const by = new OpenAI({ baseURL: `${small.url}/v1`, apiKey: 'any', maxRetries: 0 });
  const { id } = await by.conversations.create();
  const add = (length: number) => by.conversations.items.create(id, { items: [user('x'.repeat(length))] });
  const refused = { status: 400, code: 'context_length_exceeded' };
  expect(await failure(add(2_100))).toMatchObject(refused);
  await add(900);
  expect(await failure(add(900))).toMatchObject(refused);
  expect(await failure(by.conversations.create({ items: [user('x'.repeat(2_100))] }))).toMatchObject(refused);
  const answered = await by.responses.create({ model: 'scripted', conversation: id, input: 'and now' });
  expect(answered.output_text).toBe('Turn 2: and now');
  // What is behind an answer may be left out of the window.
  await add(900);
  await small.close();
});
