// OpenAI's own client keeps chat completions and asks for them by their ids: whole and streamed ones, several choices, retries,
// turns of a session; changes their metadata, deletes one that others go on from; and asks with ids that are none.
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type InProcessNode, startTestNode } from '../../../../tools/test-node.ts';
import { failure } from '../../../support/api-failure.ts';

let node: InProcessNode;
let openai: OpenAI;
beforeAll(async () => {
  node = await startTestNode();
  openai = new OpenAI({ baseURL: `${node.url}/v1`, apiKey: 'any', maxRetries: 0 });
});
afterAll(() => node.close());

type Said = OpenAI.ChatCompletionMessageParam;
const user = (content: string): Said => ({ role: 'user', content });
const create = (messages: Said[], fields: object = {}, options: object = {}) =>
  openai.chat.completions.create(
    { model: 'scripted', messages, ...fields } as OpenAI.ChatCompletionCreateParamsNonStreaming,
    options,
  );
/** As the reply told it, without where it is kept. */
const stored = ({ choices, ...rest }: OpenAI.ChatCompletion, metadata: object = {}) => ({
  ...rest,
  choices: choices.map(({ discedge: _, ...choice }: object & { discedge?: unknown }) => choice),
  metadata,
});

it('is what it was when it was made, with its metadata, which can be changed', async () => {
  const one = await create([user('hello')], { store: true, metadata: { topic: 'greeting' } });
  expect(await openai.chat.completions.retrieve(one.id)).toEqual(stored(one, { topic: 'greeting' }));
  const messages = [user('hello'), one.choices[0]?.message as Said, user('more')];
  const two = await create(messages);
  expect(two.choices[0]).toMatchObject({ message: { content: 'Turn 2: more' } });
  const changed = await openai.chat.completions.update(one.id, { metadata: { topic: 'other' } });
  expect(changed).toEqual(stored(one, { topic: 'other' }));
  await openai.chat.completions.update(one.id, { metadata: {} });
  expect(await openai.chat.completions.retrieve(one.id)).toEqual(stored(one));
  expect(await openai.chat.completions.retrieve(two.id)).toEqual(stored(two));
  // What is noted is no part of the conversation.
  expect((await create(messages)).choices[0]).toMatchObject({
    message: { content: 'Turn 2: more' },
    discedge: { based_on_turn: 1 },
  });
});

it('has the conversation that it answers, page by page', async () => {
  const one = await create([{ role: 'system', content: 'be kind' }, user('a')]);
  const two = await create([
    { role: 'system', content: 'be kind' },
    user('a'),
    one.choices[0]?.message as Said,
    user('b'),
  ]);
  const said = [];
  for await (const { role, content } of openai.chat.completions.messages.list(two.id, { limit: 2 }))
    said.push([role, content]);
  expect(said).toEqual([
    ['system', 'be kind'],
    ['user', 'a'],
    ['assistant', 'Turn 1: a'],
    ['user', 'b'],
  ]);
});

it('has one id for all chunks of a stream, and for several choices, which are kept together', async () => {
  for (const n of [1, 3]) {
    const ids = new Set<string>();
    const stream = await openai.chat.completions.create({
      model: 'scripted',
      messages: [user(`n ${n}`)],
      n,
      stream: true,
    });
    for await (const { id } of stream) ids.add(id);
    expect(ids.size).toBe(1);
    const kept = await openai.chat.completions.retrieve([...ids][0] as string);
    expect(kept.choices.map(({ index, message }) => [index, message.content])).toEqual(
      Array.from({ length: n }, (_, index) => [index, `Turn 1: n ${n}`]),
    );
  }
});

it('has the id of the first where it is the same request again, and another where it is another reply', async () => {
  const under = (key: string) => create([user('again')], {}, { headers: { 'idempotency-key': key } });
  const [first, other, repeated] = [await under('k'), await under('l'), await under('k')];
  expect(repeated).toMatchObject({ id: first.id, choices: [{ discedge: { replayed: true } }] });
  expect(other.id).not.toBe(first.id);
});

it('of a session is found as well; what is not kept is not', async () => {
  const opened = await create([user('in a session')], { session_id: 'chosen', turn: 1 });
  expect(await openai.chat.completions.retrieve(opened.id)).toEqual(stored(opened));
  const drawn = await create([user('alone')], { store: false });
  expect(await failure(openai.chat.completions.retrieve(drawn.id))).toMatchObject({
    status: 404,
    code: 'completion_not_found',
  });
});

it('is deleted: gone for whoever asks, while those that go on from it keep their context', async () => {
  const one = await create([user('x')], { n: 2 });
  const messages = [user('x'), one.choices[0]?.message as Said, user('y')];
  const two = await create(messages);
  expect(await openai.chat.completions.delete(one.id)).toEqual({
    id: one.id,
    object: 'chat.completion.deleted',
    deleted: true,
  });
  const gone = { status: 404, code: 'completion_not_found', param: 'completion_id' };
  for (const call of [
    () => openai.chat.completions.retrieve(one.id),
    () => openai.chat.completions.delete(one.id),
    () => openai.chat.completions.update(one.id, { metadata: {} }),
    () => openai.chat.completions.messages.list(one.id),
  ])
    expect(await failure(call() as Promise<unknown>)).toMatchObject(gone);
  expect(await openai.chat.completions.retrieve(two.id)).toEqual(stored(two));
  expect((await create(messages)).choices[0]?.message.content).toBe('Turn 2: y');
});

it('is none: an id of a response, a forged one, one of another cluster', async () => {
  const response = await openai.responses.create({ model: 'scripted', input: 'x' });
  const one = await create([user('x')]);
  const other = await startTestNode();
  const foreign = new OpenAI({ baseURL: `${other.url}/v1`, apiKey: 'any', maxRetries: 0 });
  for (const call of [
    () => openai.chat.completions.retrieve(response.id),
    () => openai.chat.completions.retrieve(`${one.id.slice(0, -2)}AA`),
    () => foreign.chat.completions.retrieve(one.id),
  ])
    expect(await failure(call())).toMatchObject({ status: 404, code: 'completion_not_found' });
  await other.close();
  const unknown = { metadata: {}, temperature: 1 } as never;
  expect(await failure(openai.chat.completions.update(one.id, unknown))).toMatchObject({
    status: 400,
    param: 'temperature',
  });
});
