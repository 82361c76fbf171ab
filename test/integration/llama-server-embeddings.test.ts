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

/** Ids of the demo model: a word of few letters has one or two. */
const LONG = 'the boat goes to the sea and the sun is on the water '.repeat(10);

// Of the demo model's vectors nothing is asked that a model of that size cannot tell: only what was searched with, and that a turn goes on.
it.each([
  [0, 'words_and_embeddings'],
  [1, 'words'],
] as const)('of server %i: turns that are left out are found by %s', async (at, by) => {
  const server = servers[at];
  const node = await startTestNode({
    ...{ llm: undefined, model: 'demo', contextTokens: 2048, parallel: 1 },
    embeddingsUrl: server?.url,
  });
  nodes.push(node);
  const ask = { session_id: 's', overflow: 'retrieve', n_predict: 8, temperature: 0 };
  await node.turn({ ...ask, prompt: 'The boat of Ada is called Wave.' });
  let turn = 1;
  for (let dropped = 0; dropped === 0; ) {
    dropped = (await node.turn({ ...ask, turn: ++turn, prompt: LONG })).dropped_turns;
  }
  const asked = { ...ask, turn: ++turn, prompt: 'What is it called that Ada has?' };
  const { retrieved_by, retrieved_turns } = await node.turn(asked);
  expect(retrieved_by).toBe(by);
  expect(retrieved_turns).toContain(1);
});
