/**
 * Tools, formats and reasoning through OpenAI's Responses, with its own client and with the agents' library, unmodified, on two nodes
 * with the demo model, in process or in a llama-server, under a template that tells of tools. What is called at one node is answered at the other, by the id of the
 * response and in a conversation; events and records have to say the same; a result that answers no call must leave nothing behind.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Agent, OpenAIProvider, Runner, tool } from '@openai/agents';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failure } from '../support/api-failure.ts';
import { ENGINES, type Engine, startTwoNodes, type TwoNodes } from '../support/two-nodes.ts';

type Event = OpenAI.Responses.ResponseStreamEvent;
type Response = OpenAI.Responses.Response;

const SOURCE = readFileSync(fileURLToPath(new URL('../support/chat-templates/qwen3.jinja', import.meta.url)), 'utf8');
const NO_THINKING =
  "{%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}";
/** The same, but that each reply begins with thinking. */
const THINKS = SOURCE.replace(NO_THINKING, "{{- '<think>\\n' }}");

const WEATHER = {
  type: 'function' as const,
  name: 'weather',
  description: 'The weather in a city',
  parameters: {
    type: 'object' as const,
    properties: { city: { type: 'string' as const, enum: ['Paris', 'Rome'] } },
    required: ['city'],
    additionalProperties: false as const,
  },
  strict: true,
};
const CITY = { ...WEATHER.parameters };
const plain = { model: 'demo', temperature: 0, max_output_tokens: 96 };
const called = { ...plain, tools: [WEATHER], tool_choice: 'required' as const, parallel_tool_calls: false };
const told = { ...plain, tools: [WEATHER], tool_choice: 'none' as const };

/** Two nodes that share contexts under a template; clients by the number of the request. */
function twoNodes(engine: Engine, template: string): (index: number) => OpenAI {
  let nodes: TwoNodes;
  beforeAll(async () => {
    nodes = await startTwoNodes(engine, { template });
  });
  afterAll(() => nodes?.close());
  return (index) => new OpenAI({ baseURL: nodes.baseURL(index), apiKey: 'any', maxRetries: 2 });
}

async function eventsOf(stream: AsyncIterable<Event>): Promise<Event[]> {
  const events: Event[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

function responseOf(events: readonly Event[]): Response {
  const last = events.at(-1);
  if (last?.type !== 'response.completed' && last?.type !== 'response.incomplete')
    throw new Error(`the stream ended with ${JSON.stringify(last)}`);
  return last.response;
}

function callOf({ output }: Pick<Response, 'output'>): OpenAI.Responses.ResponseFunctionToolCall {
  const call = output.find(({ type }) => type === 'function_call');
  if (call?.type !== 'function_call') throw new Error(`no call in ${JSON.stringify(output)}`);
  expect(call).toMatchObject({ name: 'weather', status: 'completed' });
  expect(['Paris', 'Rome']).toContain(JSON.parse(call.arguments).city);
  return call;
}

const resultOf = ({ call_id }: { call_id: string }) => ({
  type: 'function_call_output' as const,
  ...{ call_id, output: 'It rains.' },
});
const isAnswered = (response: Response) =>
  expect(response).toMatchObject({ error: null, output: [{ type: 'message', role: 'assistant' }] });

describe.each(ENGINES)('tools, %s', (engine) => {
  const clientAt = twoNodes(engine, SOURCE);

  it('a call is streamed in its events, shown the same at the other node, and its result answered there', async () => {
    const events = await eventsOf(await clientAt(0).responses.create({ ...called, input: 'Weather?', stream: true }));
    const types = events.map(({ type }) => type).filter((type, at, all) => type !== all[at - 1]);
    expect(types).toEqual([
      ...['response.created', 'response.in_progress', 'response.output_item.added'],
      ...['response.function_call_arguments.delta', 'response.function_call_arguments.done'],
      ...['response.output_item.done', 'response.completed'],
    ]);
    const response = responseOf(events);
    const call = callOf(response);
    const deltas = events.map((event) => (event.type === 'response.function_call_arguments.delta' ? event.delta : ''));
    expect(deltas.join('')).toBe(call.arguments);
    expect(events.find(({ type }) => type === 'response.output_item.done')).toMatchObject({ item: call });
    const { output_text: _, ...shown } = await clientAt(1).responses.retrieve(response.id);
    expect(shown).toEqual(response);
    const resumed = await clientAt(1).responses.retrieve(response.id, { stream: true, starting_after: 3 });
    const rest = await eventsOf(resumed);
    expect(rest.at(-1)).toEqual(events.at(-1));

    const next = await clientAt(1).responses.create({
      ...{ ...told, input: [resultOf(call)], previous_response_id: response.id },
    });
    isAnswered(next);
    const { data } = await clientAt(0).responses.inputItems.list(next.id);
    expect(data).toMatchObject([resultOf(call)]);
    isAnswered(await clientAt(0).responses.create({ ...told, input: 'Thanks.', previous_response_id: next.id }));
  });

  it('a result that was lost on the way back is sent again, and answered once', async () => {
    const response = await clientAt(0).responses.create({ ...called, input: 'Weather?' });
    const answer = { ...told, input: [resultOf(callOf(response))], previous_response_id: response.id };
    const first = await clientAt(1).responses.create(answer);
    const again = await clientAt(0).responses.create(answer, { headers: { 'x-stainless-retry-count': '1' } });
    expect(again.id).toBe(first.id);
  });

  it('in a conversation a call is answered at the other node, with a response or added before one', async () => {
    const { id: conversation } = await clientAt(0).conversations.create();
    const one = await clientAt(0).responses.create({ ...called, conversation, input: 'Weather?' });
    const two = await clientAt(1).responses.create({ ...told, conversation, input: [resultOf(callOf(one))] });
    isAnswered(two);
    const three = await clientAt(0).responses.create({ ...called, conversation, input: 'And now?' });
    await clientAt(1).conversations.items.create(conversation, { items: [resultOf(callOf(three))] });
    isAnswered(await clientAt(0).responses.create({ ...told, conversation, input: 'So?' }));
    const listed = await clientAt(0).conversations.items.list(conversation, { order: 'asc', limit: 100 });
    const round = ['message', 'function_call', 'function_call_output'];
    expect(listed.data.map(({ type }) => type)).toEqual([...round, 'message', ...round, 'message', 'message']);
  });

  it('a conversation that the client keeps is sent whole, calls and results in it', async () => {
    const asked = { type: 'message' as const, role: 'user' as const, content: 'Weather?' };
    const one = await clientAt(0).responses.create({ ...called, input: [asked], store: false });
    const input = [asked, ...(one.output as OpenAI.Responses.ResponseInputItem[]), resultOf(callOf(one))];
    isAnswered(await clientAt(1).responses.create({ ...told, input, store: false }));
    isAnswered(await clientAt(0).responses.create({ ...told, input }));
  });

  it('a result without its call is refused by name, and the conversation goes on', async () => {
    const wrong = [resultOf({ call_id: 'call_none' })];
    const one = await clientAt(0).responses.create({ ...plain, input: 'Hello.' });
    const { id: conversation } = await clientAt(0).conversations.create();
    const refused = { status: 400, code: 'invalid_request', message: expect.stringContaining('call_none') };
    const calls: [() => Promise<unknown>, string][] = [
      [() => clientAt(0).responses.create({ ...told, input: wrong }), 'input'],
      [() => clientAt(0).responses.create({ ...told, input: wrong, store: false }), 'input'],
      [() => clientAt(1).responses.create({ ...told, input: wrong, previous_response_id: one.id }), 'input'],
      [() => clientAt(1).responses.create({ ...told, input: wrong, conversation }), 'input'],
      [() => clientAt(0).responses.inputTokens.count({ ...{ input: wrong, previous_response_id: one.id } }), 'input'],
      [() => clientAt(0).conversations.items.create(conversation, { items: wrong }), 'items'],
      [() => clientAt(0).conversations.create({ items: wrong }), 'items'],
    ];
    for (const [call, param] of calls) expect(await failure(call())).toMatchObject({ ...refused, param });
    isAnswered(await clientAt(1).responses.create({ ...plain, input: 'So?', conversation }));
    isAnswered(await clientAt(1).responses.create({ ...plain, input: 'So?', previous_response_id: one.id }));
  });

  it('a format holds, whole and streamed; one that no grammar can be made of is refused', async () => {
    const text = { format: { type: 'json_schema' as const, name: 'city', schema: CITY, strict: true } };
    const response = await clientAt(0).responses.create({ ...plain, input: 'A city?', text });
    expect(['Paris', 'Rome']).toContain(JSON.parse(response.output_text).city);
    expect((await clientAt(1).responses.retrieve(response.id)).text).toEqual(text);
    const asked = { ...plain, input: 'Another?', text, previous_response_id: response.id };
    const streamed = clientAt(1).responses.stream(asked);
    expect(['Paris', 'Rome']).toContain(JSON.parse((await streamed.finalResponse()).output_text).city);
    const schema = { type: 'string', pattern: '(?=x)y' };
    const unheld = { format: { type: 'json_schema' as const, name: 'x', schema } };
    const error = await failure(clientAt(0).responses.create({ ...plain, input: 'x', text: unheld }));
    expect(error).toMatchObject({ status: 400, param: 'text.format' });
  });

  it('a strict tool that the model may leave alone holds its calls, through each API, or is refused', async () => {
    const pattern = { type: 'object' as const, properties: { x: { type: 'string', pattern: '(?=x)y' } } };
    const send = (parameters: object, strict: boolean) => {
      const [name, messages] = ['weather', [{ role: 'user', content: 'Weather?' }]];
      const chat = { messages, max_tokens: 16, tools: [{ type: 'function', function: { name, parameters, strict } }] };
      const anthropic = { messages, max_tokens: 16, tools: [{ name, input_schema: parameters, strict }] };
      const response = { input: 'x', max_output_tokens: 16, tools: [{ type: 'function', name, parameters, strict }] };
      const bodies = { '/responses': response, '/chat/completions': chat, '/messages': anthropic };
      return Object.entries(bodies).map(([path, body]) => clientAt(0).post(path, { body: { model: 'demo', ...body } }));
    };
    for (const error of await Promise.all(send(pattern, true).map(failure))) {
      expect(error).toMatchObject({ status: 400, code: 'invalid_request', param: 'tools' });
    }
    await Promise.all([...send(pattern, false), ...send(CITY, true)]);
  });

  it('@openai/agents: a tool runs, and the agent goes on at the other node', async () => {
    const asked: string[] = [];
    const weather = tool({
      ...{ name: 'weather', description: WEATHER.description, parameters: CITY, strict: true },
      execute: async (given) => {
        asked.push((given as { city: string }).city);
        return 'It rains.';
      },
    });
    const run = (index: number, input: string, previousResponseId?: string) => {
      const modelProvider = new OpenAIProvider({ openAIClient: clientAt(index) as never, useResponses: true });
      const modelSettings = { temperature: 0, maxTokens: 256, toolChoice: 'required', parallelToolCalls: false };
      const agent = new Agent({ name: 'demo', model: 'demo', modelSettings, tools: [weather], resetToolChoice: true });
      const runner = new Runner({ modelProvider, tracingDisabled: true });
      return runner.run(agent, input, previousResponseId === undefined ? {} : { previousResponseId });
    };
    const one = await run(0, 'Weather?');
    const two = await run(1, 'And now?', one.lastResponseId);
    expect(two.finalOutput).toEqual(expect.any(String));
    expect(asked).toHaveLength(2);
  });
});

describe('a model that thinks', () => {
  const clientAt = twoNodes('embedded', THINKS);
  const short = { ...plain, max_output_tokens: 24 };

  it.each([
    ['content', undefined, 'response.reasoning_text.delta'],
    ['a summary', { summary: 'auto' as const }, 'response.reasoning_summary_text.delta'],
  ])(
    'shows it as %s: in events, in the record at the other node, and it is gone on from',
    async (_, reasoning, type) => {
      const asked = { ...short, input: 'What is SLAM?', ...(reasoning && { reasoning }) };
      const events = await eventsOf(await clientAt(0).responses.create({ ...asked, stream: true }));
      const response = responseOf(events);
      const [item] = response.output;
      if (item?.type !== 'reasoning') throw new Error(`no reasoning in ${JSON.stringify(response.output)}`);
      const shown = (reasoning === undefined ? item.content : item.summary)?.map(({ text }) => text).join('');
      expect(shown).not.toBe('');
      expect(reasoning === undefined ? item.summary : item.content).toEqual([]);
      const deltas = events.map((event) => (event.type === type ? (event as { delta: string }).delta : ''));
      expect(deltas.join('')).toBe(shown);
      expect(response.usage?.output_tokens_details.reasoning_tokens).toBeGreaterThan(0);
      const { output_text: __, ...stored } = await clientAt(1).responses.retrieve(response.id);
      expect(stored).toEqual(response);
      const next = await clientAt(1).responses.create({ ...asked, previous_response_id: response.id });
      expect(next.output[0]?.type).toBe('reasoning');
      const whole = [...(response.output as OpenAI.Responses.ResponseInputItem[])];
      const input = [
        { role: 'user' as const, content: asked.input },
        ...whole,
        { role: 'user' as const, content: 'So?' },
      ];
      expect((await clientAt(1).responses.create({ ...short, input })).error).toBeNull();
    },
  );
});
