/**
 * Clients that know nothing of nodes or turns, unmodified, on two nodes: each turn of a chain of responses and of a conversation
 * comes to the other node, and the model still has to know what it was told. Then what a library does when the network fails:
 * requests sent again after errors and resets, streams that are cut. One turn must be answered once, whoever asks how often.
 */

import { createOpenAI } from '@ai-sdk/openai';
import { ChatOpenAI } from '@langchain/openai';
import { Agent, OpenAIProvider, Runner } from '@openai/agents';
import { generateText, streamText } from 'ai';
import OpenAI, { BadRequestError, NotFoundError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { losingProxy } from '../support/losing-proxy.ts';
import { ENGINES, startTwoNodes, type TwoNodes } from '../support/two-nodes.ts';

const TOLD = 'My name is Zorvik.';
const ASKED = 'What is my name?';
const KNOWN = 'Your name is Zorvik.';

describe.each(ENGINES)('with %s', (engine) => {
  let nodes: TwoNodes;
  beforeAll(async () => {
    nodes = await startTwoNodes(engine);
  });
  afterAll(() => nodes?.close());
  const baseURL = (index: number) => nodes.baseURL(index);
  const clientAt = (index: number) => new OpenAI({ baseURL: baseURL(index), apiKey: 'any' });
  const plain = { model: 'demo', temperature: 0, max_output_tokens: 64 };

  it('openai: each response of a chain at the other node, whole and streamed', async () => {
    let previous: string | undefined;
    for (const [index, input] of [TOLD, 'What is SLAM?', ASKED].entries()) {
      const response = await clientAt(index).responses.create({
        ...plain,
        input,
        ...(previous !== undefined && { previous_response_id: previous }),
      });
      previous = response.id;
      if (input === ASKED) expect(response.output_text).toBe(KNOWN);
      expect(await clientAt(index + 1).responses.retrieve(response.id)).toEqual(response);
    }
    const stream = clientAt(1).responses.stream({ ...plain, input: ASKED, previous_response_id: previous as string });
    expect((await stream.finalResponse()).output_text).toBe(KNOWN);
  });

  it('openai: each response on a conversation at the other node, and what was added at the first', async () => {
    const { id: conversation } = await clientAt(0).conversations.create({
      items: [{ type: 'message', role: 'user', content: TOLD }],
    });
    const first = await clientAt(1).responses.create({ ...plain, conversation, input: 'What is SLAM?' });
    expect(first.error).toBeNull();
    const second = await clientAt(0).responses.create({ ...plain, conversation, input: ASKED });
    expect(second.output_text).toBe(KNOWN);
    const listed = () => clientAt(1).conversations.items.list(conversation, { limit: 100 });
    await expect.poll(async () => (await listed()).data.length).toBe(5);
  });

  it('openai: a stream that was cut at one node is gone on with at the other', async () => {
    const stream = await clientAt(0).responses.create({ ...plain, input: 'What is SLAM?', stream: true });
    let seen = '';
    let after = 0;
    let id = '';
    for await (const event of stream) {
      if (event.type === 'response.created') id = event.response.id;
      if (event.type !== 'response.output_text.delta') continue;
      seen += event.delta;
      after = event.sequence_number;
      break;
    }
    stream.controller.abort();
    await expect
      .poll(
        () =>
          clientAt(1)
            .responses.retrieve(id)
            .then(
              ({ status }) => status,
              () => 'not yet',
            ),
        { timeout: 60_000 },
      )
      .toMatch(/completed|incomplete/);
    const whole = await clientAt(1).responses.retrieve(id);
    const rest = await clientAt(1).responses.retrieve(id, { stream: true, starting_after: after });
    for await (const event of rest) if (event.type === 'response.output_text.delta') seen += event.delta;
    expect(seen).toBe(whole.output_text);
  });

  it('openai: a response that was deleted at one node is gone at the other, and what follows it is not', async () => {
    const one = await clientAt(0).responses.create({ ...plain, input: TOLD });
    const two = await clientAt(1).responses.create({ ...plain, input: 'What is SLAM?', previous_response_id: one.id });
    await clientAt(1).responses.delete(one.id);
    await expect
      .poll(() =>
        clientAt(0)
          .responses.retrieve(one.id)
          .then(
            () => 200,
            ({ status }) => status,
          ),
      )
      .toBe(404);
    const three = await clientAt(0).responses.create({ ...plain, input: ASKED, previous_response_id: two.id });
    expect(three.output_text).toBe(KNOWN);
  });

  it('ai with @ai-sdk/openai: previousResponseId, and its own history with references to items', async () => {
    const at = (index: number) => createOpenAI({ baseURL: baseURL(index), apiKey: 'any' }).responses('demo');
    const one = await generateText({ model: at(0), prompt: TOLD, temperature: 0 });
    const responseId = one.providerMetadata?.openai?.responseId as string;
    const next = { prompt: ASKED, temperature: 0, providerOptions: { openai: { previousResponseId: responseId } } };
    expect((await generateText({ model: at(1), ...next })).text).toBe(KNOWN);
    const streamed = streamText({ model: at(0), ...next });
    expect(await streamed.text).toBe(KNOWN);
    const messages = [
      { role: 'user' as const, content: TOLD },
      ...one.response.messages,
      { role: 'user' as const, content: ASKED },
    ];
    expect((await generateText({ model: at(1), messages, temperature: 0 })).text).toBe(KNOWN);
  });

  it('@langchain/openai: previous_response_id by its metadata', async () => {
    const at = (index: number) =>
      new ChatOpenAI({
        ...{ model: 'demo', temperature: 0, useResponsesApi: true, apiKey: 'any' },
        configuration: { baseURL: baseURL(index) },
      });
    const one = await at(0).invoke(TOLD);
    const previous_response_id = one.response_metadata.id as string;
    const two = await at(1).invoke(ASKED, { previous_response_id } as never);
    expect(two.text).toBe(KNOWN);
  });

  it('@openai/agents: a run that goes on from the last response at the other node', async () => {
    const run = (index: number, input: string, previousResponseId?: string) => {
      const modelProvider = new OpenAIProvider({ openAIClient: clientAt(index) as never, useResponses: true });
      const agent = new Agent({ name: 'demo', model: 'demo', modelSettings: { temperature: 0 } });
      const runner = new Runner({ modelProvider, tracingDisabled: true });
      return runner.run(agent, input, previousResponseId === undefined ? {} : { previousResponseId });
    };
    const one = await run(0, TOLD);
    const two = await run(1, ASKED, one.lastResponseId);
    expect(two.finalOutput).toBe(KNOWN);
  });

  it('openai: items, page by page at the other node; what is wrong is an error of its own class', async () => {
    const said = Array.from({ length: 5 }, (_, at) => ({
      ...{ type: 'message' as const, role: 'user' as const, content: [{ type: 'input_text' as const, text: `${at}` }] },
    }));
    const textOf = (item: object) => (item as { content: { text: string }[] }).content[0]?.text;
    const { id } = await clientAt(0).responses.create({ ...plain, max_output_tokens: 8, input: said });
    const asked: (string | undefined)[] = [];
    for await (const item of clientAt(1).responses.inputItems.list(id, { limit: 2, order: 'asc' }))
      asked.push(textOf(item));
    expect(asked).toEqual(['0', '1', '2', '3', '4']);
    const conversation = (await clientAt(0).conversations.create({ items: said })).id;
    await clientAt(1).responses.create({ ...plain, max_output_tokens: 8, conversation, input: '5' });
    const added: (string | undefined)[] = [];
    for await (const item of clientAt(1).conversations.items.list(conversation, { limit: 2, order: 'asc' }))
      added.push(textOf(item));
    expect(added.slice(0, 6)).toEqual(['0', '1', '2', '3', '4', '5']);
    expect(added).toHaveLength(7);

    const hello = { ...plain, input: 'Hello.' };
    const refused = expect.objectContaining({ status: 400, code: 'previous_response_not_found' });
    await expect(clientAt(1).responses.create({ ...hello, previous_response_id: 'resp_none' })).rejects.toEqual(
      refused,
    );
    await expect(clientAt(1).responses.create({ ...hello, background: true, prompt: { id: 'x' } })).rejects.toThrow(
      BadRequestError,
    );
    await expect(clientAt(1).responses.retrieve('resp_none')).rejects.toThrow(NotFoundError);
    await expect(clientAt(1).conversations.retrieve('conv_none')).rejects.toThrow(NotFoundError);
    await expect(clientAt(1).models.retrieve('none')).rejects.toThrow(NotFoundError);
  });

  it('openai: answers that were lost on the way are had again, and nothing is generated twice', async () => {
    const proxy = await losingProxy(() => nodes.node(0).url);
    const client = new OpenAI({ baseURL: `${proxy.url}/v1`, apiKey: 'any', maxRetries: 3 });
    /** A library does not send again what was cut when it had begun to come; who gives a key may. */
    const made = async (fields: object, key: string): Promise<OpenAI.Responses.Response> => {
      const body = { ...plain, ...fields } as OpenAI.Responses.ResponseCreateParamsNonStreaming;
      const create = () => client.responses.create(body, { headers: { 'idempotency-key': key } });
      for (let attempt = 0; ; attempt++) {
        const response = await create().catch((error) => {
          if (attempt === 3 || !/terminated/.test(String(error))) throw error;
          return undefined;
        });
        if (response !== undefined) return response;
      }
    };
    for (const loss of [500, 409, 'reset', 'cut'] as const) {
      const before = await nodes.llmCalls();
      proxy.losses.push(loss, loss);
      const told = { input: `${TOLD} (${loss})` };
      const one = await (loss === 'cut' ? made(told, 'cut-1') : client.responses.create({ ...plain, ...told }));
      proxy.losses.push(loss);
      const asked = { input: ASKED, previous_response_id: one.id };
      const two = await (loss === 'cut' ? made(asked, 'cut-2') : client.responses.create({ ...plain, ...asked }));
      expect(two.output_text).toContain('Zorvik');
      expect(proxy.losses).toEqual([]);
      expect((await nodes.llmCalls()) - before, `${loss}`).toBe(2);
    }
    await proxy.close();
  });
});
