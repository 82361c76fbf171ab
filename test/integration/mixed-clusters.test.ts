/**
 * Nodes whose engines differ, and whose tokenizer and template do not: a conversation moves from llama.cpp to vLLM and back. Tries to
 * have a node that reads other ids than the one before it wrote, or one that shares contexts with nodes of another template.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DEMO_MODEL_PATH } from '../../src/edge-node/models/demo-model.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type InProcessNode, type Json, startTestNode } from '../../tools/test-node.ts';
import { startVllmDouble } from '../../tools/vllm-double/vllm-double.ts';
import { startDemoEngine } from '../support/vllm.ts';

const DEMO_TOKENIZER = fileURLToPath(new URL('../data/demo-tokenizer/tokenizer.json', import.meta.url));

let folder: ReturnType<typeof temporaryFolder>;
const opened: (() => Promise<unknown>)[] = [];
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
  folder.remove();
});

async function start(nodeId: string, flags: Record<string, unknown>): Promise<InProcessNode> {
  const natsProgram = (await natsPrograms())[0]?.path as string;
  const store = { store: 'nats', natsProgram, natsListen: '127.0.0.1:0', dataDir: join(folder.path, nodeId) };
  const node = await startTestNode({ nodeId, modelName: 'demo', ...store, ...flags });
  opened.push(() => node.close());
  return node;
}

test('a conversation moves between the embedded engine, a llama-server and a vLLM with exact ids', async () => {
  const llama = await startLlamaServer({ modelPath: DEMO_MODEL_PATH, contextTokens: 1024, slots: 2 });
  opened.push(() => llama.stop());
  const vllm = await startVllmDouble({ engine: await startDemoEngine(), model: 'served-demo' });
  opened.push(() => vllm.stop());
  const first = await start('embedded', { llm: undefined, model: 'demo', contextTokens: 1024, parallel: 1 });
  const { nats_url: natsUrl } = (await first.get('/nodes')).body.nodes[0];
  const peers = `embedded=${new URL(natsUrl).host}`;
  const nodes = [
    first,
    await start('llama', { llm: llama.url, peers }),
    await start('vllm', { llm: vllm.url, llmTokenizer: DEMO_MODEL_PATH, peers }),
  ] as const;
  const keygroups = await Promise.all(nodes.map(async (node) => (await node.get('/props')).body.keygroup));
  expect(new Set(keygroups).size).toBe(1);

  const said = [
    'My name is Zorvik.',
    'What is my name?',
    'Call me Mirela.',
    'What is my name?',
    'What is my name?',
    'Bye.',
  ];
  const replies: Json[] = [];
  for (const [i, prompt] of said.entries()) {
    const fields = { session_id: 's', turn: i + 1, prompt, temperature: 0, n_predict: 24, return_tokens: true };
    const going = { max_wait_ms: 30_000, context_id: replies.at(-1)?.context_id };
    const reply = await (nodes[i % 3] as InProcessNode).turn({ ...fields, ...going });
    expect(reply).toMatchObject({ turn: i + 1, based_on_turn: i, replayed: false });
    replies.push(reply);
  }
  expect(replies[1].content).toContain('Zorvik');
  expect(replies[3].content).toContain('Mirela');
  expect(replies[4].content).toContain('Mirela');

  // What reached the vLLM is what each engine wrote, id by id.
  const [third, sixth] = vllm.seen
    .filter(({ path }) => path === 'inference/v1/generate')
    .slice(-2)
    .map(({ body }) => body.token_ids as number[]);
  expect(sixth?.slice(0, (third?.length ?? 0) + replies[2].tokens.length)).toEqual([
    ...(third ?? []),
    ...replies[2].tokens,
  ]);
  const written = sixth?.join() ?? '';
  let at = 0;
  for (const { tokens } of replies.slice(0, 5)) {
    expect(tokens.length).toBeGreaterThan(0);
    at = written.indexOf(tokens.join(), at);
    expect(at).toBeGreaterThan(0);
  }
}, 120_000);

test('a node of another template shares nothing with them', async () => {
  const vllm = await startVllmDouble({ engine: await startDemoEngine() });
  opened.push(() => vllm.stop());
  const chatTemplateFile = join(folder.path, 'template.jinja');
  writeFileSync(
    chatTemplateFile,
    "{% for message in messages %}{{ message.role + ': ' + message.content + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}",
  );
  const keygroupOf = async (flags: Record<string, unknown>) => {
    const node = await startTestNode({ llm: vllm.url, modelName: 'demo', ...flags });
    opened.push(() => node.close());
    return (await node.get('/props')).body.keygroup;
  };
  const file = { llmTokenizer: DEMO_TOKENIZER };
  expect(await keygroupOf(file)).toBe(
    await keygroupOf({ llm: undefined, model: 'demo', contextTokens: 512, parallel: 1 }),
  );
  expect(await keygroupOf({ ...file, chatTemplateFile })).not.toBe(await keygroupOf(file));
}, 120_000);
