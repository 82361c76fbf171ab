// OpenAI's own client compacts conversations and goes on with what it is given: from a chain, from items, at another node with
// the cluster's key, compacted again, in a small window, under a template that knows no two messages of one role in a row. The
// scripted model answers a message that begins with "Recall" with all that users said, so that a context that lost something
// shows, and one that kept what it was to leave out, too.
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type InProcessNode, startTestNode } from '../../../../tools/test-node.ts';
import { failure } from '../../../support/api-failure.ts';

const WINDOW = 4_096;
const REQUEST = /Summarize our conversation up to here[^|]*/g;

let node: InProcessNode;
let client: OpenAI;
beforeAll(async () => {
  node = await startTestNode({ contextTokens: WINDOW });
  client = new OpenAI({ baseURL: `${node.url}/v1`, apiKey: 'any', maxRetries: 0 });
});
afterAll(() => node.close());

type Input = OpenAI.Responses.ResponseInputItem[];
const compact = (fields: object, by = client) =>
  by.responses.compact({ model: 'scripted', ...fields } as OpenAI.Responses.ResponseCompactParams);
const create = (fields: object, by = client) =>
  by.responses.create({ model: 'scripted', ...fields } as OpenAI.Responses.ResponseCreateParamsNonStreaming);
const chain = async (...inputs: string[]) => {
  let last: OpenAI.Responses.Response | undefined;
  for (const input of inputs) last = await create({ input, ...(last && { previous_response_id: last.id }) });
  return last as OpenAI.Responses.Response;
};
const said = (output: readonly object[]) =>
  output.flatMap((item) => ('content' in item ? [(item.content as { text: string }[])[0]?.text] : []));
const goOn = (output: readonly object[], text: string): Input => [
  ...(output as Input),
  { role: 'user', content: text },
];
const readBy = ({ output_text }: OpenAI.Responses.Response) => output_text.replaceAll(REQUEST, '(request)');

it('a chain is what its users said and a sealed summary, is stored nowhere, and is gone on from with fewer ids', async () => {
  const long = 'x'.repeat(200);
  const last = await chain('my name is Ada', 'I live in Turin', `please ${long}`, `and ${long}`);
  const sessions = (await node.get('/sessions')).body.data;
  const compacted = await compact({ previous_response_id: last.id });
  expect((await node.get('/sessions')).body.data).toEqual(sessions);
  expect(compacted).toMatchObject({ object: 'response.compaction', created_at: expect.any(Number) });
  expect(compacted.output.map(({ type }) => type)).toEqual([...Array(4).fill('message'), 'compaction']);
  expect(said(compacted.output)).toEqual(['my name is Ada', 'I live in Turin', `please ${long}`, `and ${long}`]);
  // The chain stands in the KV cache as it is, and only the request is new.
  expect(compacted.usage.input_tokens_details.cached_tokens).toBeGreaterThan(last.usage?.input_tokens ?? Infinity);
  expect(JSON.stringify(compacted)).not.toContain('Turn 5');
  const next = await create({ input: goOn(compacted.output, 'Recall'), max_output_tokens: 1_024 });
  const users = ['my name is Ada', 'I live in Turin', `please ${long}`, `and ${long}`];
  expect(readBy(next)).toBe(`Turn 2: ${[...users, '(request)'].join('\n\n')}| Recall`);
  expect(next.usage?.input_tokens).toBeLessThan(compacted.usage.input_tokens);
  // The chain is as it was.
  expect(await create({ input: 'more', previous_response_id: last.id })).toMatchObject({ output_text: 'Turn 5: more' });
});

it('items that the client keeps, its system message among them, with store: false all the way', async () => {
  const input = [
    { role: 'system', content: 'be brief' },
    { role: 'user', content: 'one' },
    { role: 'assistant', content: 'first' },
    { role: 'user', content: 'two' },
  ];
  const { output } = await compact({ input });
  expect(output.map((item) => ('role' in item ? item.role : item.type))).toEqual([
    ...['system', 'user', 'user', 'compaction'],
  ]);
  const next = await create({ input: goOn(output, 'Recall'), store: false });
  expect(readBy(next)).toBe('Turn 2: one\n\ntwo\n\n(request)| Recall');
  const again = await compact({ input: [...output, { role: 'user', content: 'three' }] });
  expect(said(again.output)).toEqual(['be brief', 'one\n\ntwo', 'three']);
});

it('a text alone, and a response made of a compaction, compacted again: the request for a summary is not kept', async () => {
  const { output } = await compact({ input: 'hello' });
  const next = await create({ input: goOn(output, 'and then') });
  const again = await compact({ previous_response_id: next.id });
  expect(said(again.output)).toEqual(['hello', 'and then']);
});

it('of long users’ messages only the newest are kept beside the summary', async () => {
  const texts = ['a', 'b', 'c'].map((letter) => letter.repeat(600));
  const input = texts.map((content) => ({ role: 'user', content }));
  const { output } = await compact({ input });
  expect(said(output)).toEqual([texts[2]]);
});

it('what does not fit the window with a summary is refused, and what is wrong, by name', async () => {
  const tooLong = await failure(compact({ input: 'x'.repeat(WINDOW) }));
  expect(tooLong).toMatchObject({ status: 400, code: 'context_length_exceeded' });
  const cases = [
    [{}, 'invalid_request', 'input'],
    [{ input: [] }, 'invalid_request', 'input'],
    [{ input: 'x', conversation: 'conv_1' }, 'unsupported_parameter', 'conversation'],
    [{ input: 'x', prompt_cache_retention: '24h' }, 'unsupported_parameter', 'prompt_cache_retention'],
    [{ input: 'x', service_tier: 'flex' }, 'invalid_request', 'service_tier'],
    [{ input: 'x', tmp: 1 }, 'invalid_request', 'tmp'],
    [{ previous_response_id: 'resp_none' }, 'previous_response_not_found', 'previous_response_id'],
  ] as const;
  for (const [fields, code, param] of cases)
    expect(await failure(compact(fields))).toMatchObject({ status: 400, code, param });
});

it('an id of a compaction is no response', async () => {
  const { id } = await compact({ input: 'x' });
  expect(await failure(client.responses.retrieve(id))).toMatchObject({ status: 404, code: 'response_not_found' });
  const after = await failure(create({ input: 'x', previous_response_id: id }));
  expect(after).toMatchObject({ code: 'previous_response_not_found' });
});

it('a summary that was sealed by another cluster, was altered, or is another kind of id, is refused by name', async () => {
  const other = await startTestNode();
  const { output } = await compact({ input: 'x' }, new OpenAI({ baseURL: `${other.url}/v1`, apiKey: 'any' }));
  await other.close();
  const own = (await compact({ input: 'x' })).output.at(-1) as { encrypted_content: string };
  const { id } = await create({ input: 'x' });
  const foreign = (output.at(-1) as { encrypted_content: string }).encrypted_content;
  const altered = `${own.encrypted_content.slice(0, -2)}AA`;
  for (const encrypted_content of [foreign, altered, id, 'cmp_', 'x']) {
    const refused = await failure(create({ input: [{ type: 'compaction', encrypted_content }] }));
    expect(refused).toMatchObject({ status: 400, code: 'invalid_request', param: 'input[0].encrypted_content' });
  }
  expect(await failure(create({ input: [{ type: 'compaction' }] }))).toMatchObject({ status: 400, param: 'input[0]' });
});

it('a conversation of which a summary is stored already: that one, and the model is not asked', async () => {
  const full = await startTestNode({ contextTokens: WINDOW, overflow: 'summarize' });
  try {
    const by = new OpenAI({ baseURL: `${full.url}/v1`, apiKey: 'any', maxRetries: 0 });
    let last: OpenAI.Responses.Response | undefined;
    for (let turn = 1; turn <= 4; turn++)
      last = await create({ input: 'x'.repeat(370), ...(last && { previous_response_id: last.id }) }, by);
    const [{ session_id: id }] = (await full.get('/sessions')).body.data;
    await expect.poll(async () => (await full.get(`/sessions/${id}`)).body.summaries).toHaveLength(1);
    const compacted = await compact({ previous_response_id: last?.id }, by);
    expect(compacted.usage.output_tokens).toBe(0);
    expect(compacted.output.at(-1)).toMatchObject({ type: 'compaction' });
  } finally {
    await full.close();
  }
});
