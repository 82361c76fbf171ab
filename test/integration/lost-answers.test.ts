/**
 * Tools through stock clients whose answers are lost: a call is made at one node, its result is answered at the other, and of each of
 * the two turns the first answer does not arrive (another status in its place, a reset, a cut in the middle). What the library sends
 * again, or with a key its user, has to be the same turn: one call of the LLM, and the reply that was lost.
 */
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FAMILIES } from '../support/chat-templates/families.ts';
import { type LosingProxy, type Loss, losingProxy } from '../support/losing-proxy.ts';
import { ENGINES, startTwoNodes, type TwoNodes } from '../support/two-nodes.ts';

const TELLS_OF_TOOLS = FAMILIES.find(({ name }) => name === 'qwen3')?.source as string;
const MODEL = 'demo';
const LOSSES: readonly Loss[] = [409, 500, 'reset', 'cut'];
const DESCRIPTION = 'The weather in a city';
const CITY = {
  type: 'object' as const,
  properties: { city: { type: 'string' as const, enum: ['Paris', 'Rome'] } },
  required: ['city'],
  additionalProperties: false as const,
};
const RESULT = 'It rains.';

type Headers = Record<string, string>;
/** Has one turn answered, at the next node, its first answer being lost. */
type Asked = <T>(ask: (url: string, headers: Headers) => Promise<T>) => Promise<T>;
/** Two turns: a call of the tool, and what is said of its result. */
type Talk = (question: string, asked: Asked) => Promise<void>;

const openai = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any' });

const TALKS: Readonly<Record<string, Talk>> = {
  async 'openai, responses'(input, asked) {
    const tools = [
      { type: 'function' as const, name: 'weather', description: DESCRIPTION, parameters: CITY, strict: true },
    ];
    const plain = { model: MODEL, temperature: 0, max_output_tokens: 96, tools, parallel_tool_calls: false };
    const one = await asked((url, headers) =>
      openai(url).responses.create({ ...plain, input, tool_choice: 'required' }, { headers }),
    );
    const call = one.output.find((item) => item.type === 'function_call');
    const result = { type: 'function_call_output' as const, call_id: call?.call_id as string, output: RESULT };
    const next = { ...plain, input: [result], previous_response_id: one.id, tool_choice: 'none' as const };
    const two = await asked((url, headers) => openai(url).responses.create(next, { headers }));
    expect(two.output).toMatchObject([{ type: 'message' }]);
  },
  async 'openai, chat'(content, asked) {
    const parameters = { name: 'weather', description: DESCRIPTION, parameters: CITY, strict: true };
    const tools = [{ type: 'function' as const, function: parameters }];
    const plain = { model: MODEL, temperature: 0, max_tokens: 96, tools, parallel_tool_calls: false };
    const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content }];
    const one = await asked((url, headers) =>
      openai(url).chat.completions.create({ ...plain, messages, tool_choice: 'required' }, { headers }),
    );
    const message = one.choices[0]?.message as OpenAI.ChatCompletionMessage;
    const tool_call_id = message.tool_calls?.[0]?.id as string;
    const next = [...messages, message, { role: 'tool' as const, tool_call_id, content: RESULT }];
    const two = await asked((url, headers) =>
      openai(url).chat.completions.create({ ...plain, messages: next, tool_choice: 'none' }, { headers }),
    );
    expect(two.choices[0]?.message).toMatchObject({ role: 'assistant', content: expect.any(String) });
  },
  async anthropic(content, asked) {
    const tools = [{ name: 'weather', description: DESCRIPTION, input_schema: CITY }];
    const plain = { model: MODEL, temperature: 0, max_tokens: 96, tools };
    const client = (url: string) => new Anthropic({ baseURL: url, apiKey: 'any' });
    const messages: Anthropic.MessageParam[] = [{ role: 'user', content }];
    const one = await asked((url, headers) =>
      client(url).messages.create({ ...plain, messages, tool_choice: { type: 'any' } }, { headers }),
    );
    const call = one.content.find(({ type }) => type === 'tool_use') as Anthropic.ToolUseBlock;
    const result = { type: 'tool_result' as const, tool_use_id: call.id, content: RESULT };
    const next = [
      ...messages,
      { role: 'assistant' as const, content: one.content },
      { role: 'user' as const, content: [result] },
    ];
    const two = await asked((url, headers) =>
      client(url).messages.create({ ...plain, messages: next, tool_choice: { type: 'none' } }, { headers }),
    );
    expect(two.content).toMatchObject([{ type: 'text' }]);
  },
};

describe.each(ENGINES)('with %s', (engine) => {
  let nodes: TwoNodes;
  let proxy: LosingProxy;
  let turn = 0;
  beforeAll(async () => {
    nodes = await startTwoNodes(engine, { template: TELLS_OF_TOOLS });
    proxy = await losingProxy(() => nodes.node(turn).url);
  });
  afterAll(async () => {
    await proxy?.close();
    await nodes?.close();
  });

  it.each(Object.entries(TALKS))('%s: one call of the LLM for each turn, and equal replies', async (name, talk) => {
    for (const loss of LOSSES) {
      const before = await nodes.llmCalls();
      await talk(`Weather? (${name}, ${loss})`, async (ask) => {
        turn++;
        proxy.losses.push(loss);
        // No library sends again by itself what had begun to come; who gives a key may.
        const headers: Headers = loss === 'cut' ? { 'idempotency-key': `${name} ${turn}` } : {};
        const again = () => ask(proxy.url, headers);
        const answer = loss === 'cut' ? await again().then(() => expect.unreachable(), again) : await again();
        expect(proxy.losses).toEqual([]);
        const [lost, arrived] = proxy.answers.slice(-2).map(said);
        expect(arrived).toEqual(lost);
        return answer;
      });
      expect((await nodes.llmCalls()) - before, `${loss}`).toBe(2);
    }
  });
});

/** What the model said, in an answer of any of the three APIs. */
function said(answer: string): unknown {
  const { output, choices, content } = JSON.parse(answer);
  const words = output ?? choices?.[0].message ?? content;
  expect(words).toBeDefined();
  return words;
}
