/**
 * Clients that know nothing of nodes or turns, unmodified, on two nodes: each turn of a chain of responses and of a conversation
 * comes to the other node, and the model still has to know what it was told. Then what a library does when the network fails:
 * requests sent again after errors and resets, streams that are cut. One turn must be answered once, whoever asks how often.
 */

import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createOpenAI } from '@ai-sdk/openai';
import { ChatOpenAI } from '@langchain/openai';
import { Agent, OpenAIProvider, Runner } from '@openai/agents';
import { generateText, streamText } from 'ai';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newClusterKey } from '../../src/certificates/cluster-key.ts';
import { DEMO_MODEL_PATH } from '../../src/edge-node/demo-model.ts';
import { freePort } from '../../tools/free-port.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import type { RunningServer } from '../../tools/real-servers/running-server.ts';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';

const WINDOW = 2048;
const TOLD = 'My name is Zorvik.';
const ASKED = 'What is my name?';
const KNOWN = 'Your name is Zorvik.';

let server: RunningServer;
beforeAll(async () => {
  server = await startLlamaServer({ modelPath: DEMO_MODEL_PATH, contextTokens: WINDOW, slots: 2 });
});
afterAll(() => server.stop());

describe.each(['embedded', 'llama-server'])('with %s', (engine) => {
  const folder = temporaryFolder();
  const nodes: InProcessNode[] = [];
  beforeAll(async () => {
    const [program] = await natsPrograms();
    const ports = [await freePort(), await freePort()];
    const clusterKeyFile = join(folder.path, 'cluster.key');
    writeFileSync(clusterKeyFile, newClusterKey({ bytes: (length) => new Uint8Array(length).fill(7) }));
    const llm =
      engine === 'embedded'
        ? { llm: undefined, model: 'demo', contextTokens: WINDOW, parallel: 1 }
        : { llm: server.url };
    for (const index of [0, 1]) {
      nodes.push(
        await startTestNode({
          ...{ ...llm, nodeId: `e${index + 1}`, store: 'nats', natsProgram: program?.path, clusterKeyFile },
          ...{ natsListen: `127.0.0.1:${ports[index]}`, dataDir: join(folder.path, `e${index + 1}`) },
          ...{ maxWaitMs: 20_000 },
          ...(index === 1 && { peers: `e1=127.0.0.1:${ports[0]}` }),
        }),
      );
    }
  });
  afterAll(async () => {
    for (const node of nodes) await node.close();
    folder.remove();
  });
  const baseURL = (index: number) => `${(nodes[index % 2] as InProcessNode).url}/v1`;
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
    await expect.poll(async () => (await listed()).data.length, { timeout: 30_000 }).toBe(5);
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
      .poll(
        () =>
          clientAt(0)
            .responses.retrieve(one.id)
            .then(
              () => 200,
              ({ status }) => status,
            ),
        { timeout: 30_000 },
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

  it('openai: answers that were lost on the way are had again, and nothing is generated twice', async () => {
    const proxy = await FaultyProxy.start((nodes[0] as InProcessNode).url);
    const client = new OpenAI({ baseURL: `${proxy.url}/v1`, apiKey: 'any', maxRetries: 3 });
    const turns = async () =>
      Number(
        /^discedge_turns_total\{[^}]*outcome="ok"\} (\d+)/m.exec(
          (await (nodes[0] as InProcessNode).get('/metrics')).text,
        )?.[1],
      );
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
    for (const fault of ['500', '409', 'reset', 'cut'] as const) {
      const before = await turns();
      proxy.faults.push(fault, fault);
      const told = { input: `${TOLD} (${fault})` };
      const one = await (fault === 'cut' ? made(told, 'cut-1') : client.responses.create({ ...plain, ...told }));
      proxy.faults.push(fault);
      const asked = { input: ASKED, previous_response_id: one.id };
      const two = await (fault === 'cut' ? made(asked, 'cut-2') : client.responses.create({ ...plain, ...asked }));
      expect(two.output_text).toContain('Zorvik');
      expect(proxy.faults).toEqual([]);
      expect((await turns()) - before, fault).toBe(2);
    }
    await proxy.close();
  });
});

type Fault = '500' | '409' | 'reset' | 'cut';

/** Has each request answered, and then loses the answer in the way that is next in line. */
class FaultyProxy {
  readonly faults: Fault[] = [];
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(target: string): Promise<FaultyProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const proxy = new FaultyProxy(server);
    server.on('request', async (request, reply) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const headers = Object.entries(request.headers).filter(
        ([name]) => !['host', 'connection', 'content-length'].includes(name),
      );
      const answer = await fetch(`${target}${request.url}`, {
        method: request.method as string,
        headers: headers as [string, string][],
        ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
      });
      const body = Buffer.from(await answer.arrayBuffer());
      const fault = proxy.faults.shift();
      if (fault === 'reset') return request.socket.destroy();
      if (fault === 'cut') {
        reply.writeHead(200, { 'content-type': 'application/json', 'content-length': String(body.length) });
        reply.write(body.subarray(0, 10), () => request.socket.destroy());
        return;
      }
      const status = fault === undefined ? answer.status : Number(fault);
      reply.writeHead(status, { 'content-type': 'application/json' }).end(fault === undefined ? body : '{}');
    });
    return proxy;
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}
