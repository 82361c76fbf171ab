// Embeddings of a stock llama-server, which makes them only when it was started for it: through a node, and refused by name by one
// in front of a server that was not.
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import type { RunningServer } from '../../tools/real-servers/running-server.ts';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';

const modelPath = fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url));
const servers: RunningServer[] = [];
const nodes: InProcessNode[] = [];

beforeAll(async () => {
  for (const extraArgs of [['--embeddings', '--pooling', 'mean'], []]) {
    const server = await startLlamaServer({ modelPath, contextTokens: 256, slots: 1, extraArgs });
    servers.push(server);
    nodes.push(await startTestNode({ llm: server.url }));
  }
});
afterAll(async () => {
  for (const node of nodes) await node.close();
  for (const server of servers) await server.stop();
});

const clientOf = (node: InProcessNode | undefined) =>
  new OpenAI({ baseURL: `${node?.url}/v1`, apiKey: 'any', maxRetries: 0 });

it('are vectors of one length, in order, the same for the same text', async () => {
  const { data, usage } = await clientOf(nodes[0]).embeddings.create({ model: 'demo', input: ['one', 'two', 'one'] });
  const [one, two, again] = data.map(({ embedding }) => embedding) as [number[], number[], number[]];
  expect(one.length).toBeGreaterThan(8);
  expect(two).toHaveLength(one.length);
  expect(two).not.toEqual(one);
  expect(again).toEqual(one);
  expect(usage.prompt_tokens).toBeGreaterThanOrEqual(3);
});

it('are refused by name where the server makes none', async () => {
  const asked = clientOf(nodes[1]).embeddings.create({ model: 'demo', input: 'one' });
  await expect(asked).rejects.toMatchObject({ status: 400, code: 'unsupported_parameter', param: 'model' });
});
