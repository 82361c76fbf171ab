/**
 * Chat clients that people use, unmodified, each at two nodes by turns: they send their whole history and know nothing of sessions.
 * Every turn has to go on from the exact ids of the one before, which the other node has answered, with the demo model in process
 * and with stock llama-servers; and the model has to know still what it was told first.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { AIMessage, HumanMessage, SystemMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import { generateText, type LanguageModel, streamText } from 'ai';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../tools/free-port.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import type { RunningServer } from '../../tools/real-servers/running-server.ts';
import { type InProcessNode, type Json, startTestNode } from '../../tools/test-node.ts';

interface Said {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}
/** One turn of a client that has the conversation. */
type Client = (baseURL: string, history: readonly Said[]) => Promise<string>;

const [MODEL, REPLY_TOKENS] = ['demo', 24];
const apiKey = 'any';

const CLIENTS: Readonly<Record<string, Client>> = {
  async openai(baseURL, history) {
    const openai = new OpenAI({ baseURL, apiKey });
    const body = { model: MODEL, messages: [...history], max_tokens: REPLY_TOKENS, temperature: 0 };
    return (await openai.chat.completions.create(body)).choices[0]?.message.content as string;
  },
  async 'openai, streamed'(baseURL, history) {
    const openai = new OpenAI({ baseURL, apiKey });
    const body = { model: MODEL, messages: [...history], max_tokens: REPLY_TOKENS, temperature: 0 };
    const stream = openai.chat.completions.stream(body);
    return (await stream.finalContent()) as string;
  },
  'ai with openai-compatible': (baseURL, history) =>
    generated(createOpenAICompatible({ name: 'edge', baseURL, apiKey })(MODEL), history),
  'ai with openai': (baseURL, history) => generated(createOpenAI({ baseURL, apiKey }).chat(MODEL), history),
  async 'ai, streamed'(baseURL, history) {
    const model = createOpenAICompatible({ name: 'edge', baseURL, apiKey })(MODEL);
    return streamText({
      model,
      messages: [...history],
      allowSystemInMessages: true,
      maxOutputTokens: REPLY_TOKENS,
      temperature: 0,
    }).text;
  },
  async langchain(baseURL, history) {
    const options = { model: MODEL, apiKey, maxTokens: REPLY_TOKENS, temperature: 0, configuration: { baseURL } };
    const of = { system: SystemMessage, user: HumanMessage, assistant: AIMessage };
    const reply = await new ChatOpenAI(options).invoke(history.map(({ role, content }) => new of[role](content)));
    return reply.content as string;
  },
};

/** Each client's own, so that no two conversations are the same. */
const NAMES = ['Ada', 'Quill', 'Zorblat', 'Tom', 'Maria', 'Ravi'];

async function generated(model: LanguageModel, history: readonly Said[]): Promise<string> {
  const asked = {
    model,
    messages: [...history],
    allowSystemInMessages: true,
    maxOutputTokens: REPLY_TOKENS,
    temperature: 0,
  };
  return (await generateText(asked)).text;
}

describe.each(['embedded', 'llama-server'])('at two nodes, %s', (engine) => {
  const folder = temporaryFolder();
  const nodes: InProcessNode[] = [];
  const servers: RunningServer[] = [];

  beforeAll(async () => {
    const [program] = await natsPrograms();
    const ports = [await freePort(), await freePort()];
    for (const index of [0, 1]) {
      nodes.push(
        await startTestNode({
          ...(await llmFlags()),
          ...{ nodeId: `e${index + 1}`, store: 'nats', natsProgram: program?.path },
          ...{ natsListen: `127.0.0.1:${ports[index]}`, dataDir: join(folder.path, `e${index + 1}`) },
          ...(index === 1 && { peers: `e1=127.0.0.1:${ports[0]}` }),
        }),
      );
    }
  });
  afterAll(async () => {
    for (const node of nodes) await node.close();
    for (const server of servers) await server.stop();
    folder.remove();
  });

  /** The other node has the turn: how long it may take is not what is tried here. */
  async function arrived(turn: number, isNew: (session: Json) => boolean): Promise<void> {
    const there = async () => (await sessionsAt(nodes[(turn + 1) % 2] as InProcessNode)).filter(isNew);
    await expect.poll(there).toMatchObject([{ turns: turn }]);
  }

  async function llmFlags(): Promise<object> {
    if (engine === 'embedded') return { llm: undefined, model: 'demo', contextTokens: 1_024, parallel: 2 };
    const modelPath = fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url));
    const server = await startLlamaServer({ modelPath, contextTokens: 1_024, slots: 2 });
    servers.push(server);
    return { llm: server.url };
  }

  const urlOf = (turn: number) => `${(nodes[turn % 2] as InProcessNode).url}/v1`;
  const sessionsAt = async (node: InProcessNode): Promise<Json[]> => (await node.get('/sessions?limit=1000')).body.data;

  it.each(Object.entries(CLIENTS))(
    '%s: one session, whose every turn goes on at the other node',
    async (name, client) => {
      const [e1] = nodes as [InProcessNode];
      const before = new Set((await sessionsAt(e1)).map(({ session_id }) => session_id));
      const isNew = ({ session_id }: Json) => !before.has(session_id);
      const history: Said[] = [];
      const told = NAMES[Object.keys(CLIENTS).indexOf(name)] as string;
      const said = [`My name is ${told}.`, 'What is my name?', 'Hello.', 'What is my name?'];
      for (const [at, content] of said.entries()) {
        history.push({ role: 'user', content });
        history.push({ role: 'assistant', content: await client(urlOf(at + 1), history) });
        await arrived(at + 1, isNew);
      }
      expect([history[3]?.content, history[7]?.content].map((text) => text?.includes(told))).toEqual([true, true]);
    },
  );

  it('and what a node has read before it finds in its cache, to the last id that was evaluated', async () => {
    const before = new Set((await sessionsAt(nodes[0] as InProcessNode)).map(({ session_id }) => session_id));
    const openai = [0, 1].map((turn) => new OpenAI({ baseURL: urlOf(turn), apiKey }));
    const messages: OpenAI.ChatCompletionMessageParam[] = [];
    const read: number[] = [];
    for (let turn = 1; turn <= 6; turn++) {
      messages.push({ role: 'user', content: `Message ${turn}.` });
      const body = { model: MODEL, messages, max_tokens: REPLY_TOKENS, temperature: 0 };
      const completion: Json = await (openai[turn % 2] as OpenAI).chat.completions.create(body);
      const [{ message, discedge }] = completion.choices;
      expect(discedge).toMatchObject({ turn, based_on_turn: turn - 1, node: `e${(turn % 2) + 1}`, replayed: false });
      const { cached_tokens } = completion.usage.prompt_tokens_details;
      if (turn > 2) expect(cached_tokens).toBeGreaterThanOrEqual((read[turn - 2] as number) - 1);
      read[turn] = completion.usage.total_tokens;
      await arrived(turn, ({ session_id }) => !before.has(session_id));
      messages.push(message);
    }
  });
});
