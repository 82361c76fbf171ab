// Refers to stored items from responses and conversations, often and with much text behind few ids: a small body must not bring
// in more than a large one may. Neighbouring items of the assistant are one message, however many there are.
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { messagesOf } from '../../../../src/http/dialects/openai/responses/input-items.ts';
import { type InProcessNode, startTestNode } from '../../../../tools/test-node.ts';
import { failure } from '../../../support/api-failure.ts';

const BODY_BYTES_MAX = 65_536;

let node: InProcessNode;
let client: OpenAI;
beforeAll(async () => {
  node = await startTestNode({ llm: 'scripted', bodyBytesMax: BODY_BYTES_MAX });
  client = new OpenAI({ baseURL: `${node.url}/v1`, apiKey: 'any', maxRetries: 0 });
});
afterAll(() => node.close());

const create = (fields: object) =>
  client.responses.create({ model: 'scripted', ...fields } as OpenAI.Responses.ResponseCreateParamsNonStreaming);
/** Ids of what was asked, and as many references to it as are wanted. */
const referencesTo = async (input: string, count: number) => {
  const { id } = await create({ input });
  const { data } = await client.responses.inputItems.list(id);
  return Array.from({ length: count }, () => ({ type: 'item_reference' as const, id: data[0]?.id as string }));
};

it('256 items can be referred to, and no more', async () => {
  const references = await referencesTo('hello', 257);
  expect((await create({ input: references.slice(1) })).output_text).toBe('Turn 256: hello');
  const refused = { status: 400, code: 'invalid_request', message: expect.stringContaining('more than 256 items') };
  expect(await failure(create({ input: references }))).toMatchObject({ ...refused, param: 'input' });
});

it('what is referred to is together no more than a body may have', async () => {
  const references = await referencesTo('x'.repeat(30_000), 3);
  expect((await create({ input: references.slice(1) })).output_text).toContain('Turn 2: xxx');
  const refused = { status: 400, code: 'invalid_request', message: expect.stringContaining(`${BODY_BYTES_MAX} char`) };
  expect(await failure(create({ input: references }))).toMatchObject({ ...refused, param: 'input[2]' });
  const items = references as never;
  expect(await failure(client.conversations.create({ items }))).toMatchObject({ ...refused, param: 'items[2]' });
  const { id } = await client.conversations.create();
  expect(await failure(client.conversations.items.create(id, { items }))).toMatchObject(refused);
});

it('what the assistant said in neighbouring items is one message, also where it is referred to', async () => {
  const said = (text: string) => ({ role: 'assistant', content: text });
  const found = [{ role: 'assistant', content: [{ type: 'text', text: 'found' }] }] as const;
  const sources = { resolve: async () => found, summaryIn: () => undefined, charactersMax: 1_000 };
  const run = Array.from({ length: 9_000 }, (_, at) => said(`${at}`));
  const input = [...run, { type: 'item_reference', id: 'a' }, { role: 'user', content: 'and?' }, said('alone')];
  const [joined, ...rest] = await messagesOf(input, sources);
  const texts = [...run.map(({ content }) => content), 'found'];
  expect(joined).toEqual({ role: 'assistant', content: texts.map((text) => ({ type: 'text', text })) });
  expect(rest).toEqual([{ role: 'user', content: 'and?' }, said('alone')]);
  expect(found[0].content).toHaveLength(1);
});
