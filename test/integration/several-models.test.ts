/**
 * Nodes that serve several models, as users start them: real models in one process, a real llama-server beside them, real
 * nats-servers between them. Tries to have one model's sessions seen in another, lost by a restart or sent to a node that
 * does not serve it, and to keep a whole node from starting for what is wrong with one of its models.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { startEdgeNode } from '../../src/edge-node/edge-node.ts';
import { DEMO_MODEL_PATH } from '../../src/edge-node/models/demo-model.ts';
import type { StartOptions } from '../../src/edge-node/models/start-llm-service.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type InProcessNode, type Json, NodeUnderTest } from '../../tools/test-node.ts';

const MIB = 2 ** 20;
const WAIT_MS = 60_000;
/** Whatever is answered, briefly. */
const BRIEF = { n_predict: 12, temperature: 0 };

let folder: ReturnType<typeof temporaryFolder>;
const opened: Array<() => Promise<unknown>> = [];
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
  folder.remove();
});

async function start(
  sources: { flags?: Record<string, unknown>; file?: string },
  options: StartOptions = {},
): Promise<InProcessNode> {
  const { flags, file } = sources;
  const base = { listen: '127.0.0.1:0', nodeId: 'test', logLevel: 'silent', contextTokens: 512, parallel: 1 };
  const place = { dataDir: join(folder.path, String(flags?.nodeId ?? 'test')) };
  const node = await startEdgeNode(loadConfig({ flags: { ...base, ...place, ...flags }, file, env: {} }), options);
  opened.push(() => node.close());
  return Object.assign(new NodeUnderTest(node.address.url), { node, close: () => node.close() });
}

function fileWith(text: string): string {
  const path = join(folder.path, 'models.yaml');
  writeFileSync(path, text);
  return path;
}

const servedBy = async (node: NodeUnderTest): Promise<string[]> =>
  (await node.get('/v1/models')).body.data.map(({ id }: Json) => id);
const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: WAIT_MS, interval: 50 });

describe('one node', () => {
  test('two models in one process answer each in its own sessions, and a restart keeps both', async () => {
    const file = fileWith(`
models:
  - {name: left, model: demo}
  - {name: right, model: demo, mode: raw, context-tokens: 1024}
  - {name: third, llm: scripted}
`);
    let node = await start({ file });
    expect(await servedBy(node)).toEqual(['left', 'right', 'third']);
    const turn = (body: object) => node.turn({ ...BRIEF, session_id: 's', ...body });
    await turn({ prompt: 'My name is Ada.' });
    await turn({ prompt: 'My name is Bob.', model: 'right' });
    await turn({ prompt: 'My name is Cy.', model: 'third' });
    expect(await turn({ turn: 2, prompt: 'What is my name?' })).toMatchObject({ model: 'left', mode: 'tokenized' });
    await opened.pop()?.();

    node = await start({ file });
    const again = (model: string) => turn({ turn: model === 'left' ? 3 : 2, prompt: 'What is my name?', model });
    expect((await again('left')).content).toContain('Ada');
    expect(await again('right')).toMatchObject({ content: expect.stringContaining('Bob'), mode: 'raw' });
    expect((await again('third')).content).toContain('Turn 2');
    expect((await node.get('/props?model=right')).body).toMatchObject({
      default_generation_settings: { n_ctx: 1024 },
      default_mode: 'raw',
    });
  });

  test('a model in the process and one in a llama-server, with equal identities but for their names', async () => {
    const server = await startLlamaServer({ modelPath: DEMO_MODEL_PATH, contextTokens: 512, slots: 1 });
    opened.push(() => server.stop());
    const node = await start({
      file: fileWith(`models:\n  - {name: here, model: demo}\n  - {name: there, llm: "${server.url}"}`),
    });
    for (const model of ['here', 'there']) {
      await node.turn({ ...BRIEF, session_id: 's', prompt: 'My name is Ada.', model });
      const reply = await node.turn({ ...BRIEF, session_id: 's', turn: 2, prompt: 'What is my name?', model });
      expect(reply).toMatchObject({ model, content: expect.stringContaining('Ada') });
    }
    await server.stop();
    const ready = await node.get('/ready');
    expect(ready).toMatchObject({ status: 503, body: { error: { type: 'llm_unavailable' } } });
    expect(ready.body.error.message).toMatch(/^model there is not ready: /);
    expect((await node.get('/ready?model=here')).status).toBe(200);
  });
});

describe('a model that cannot be served', () => {
  const needs = /does not fit in memory: it needs [\d,]+ bytes and [\d,]+ bytes are left/;
  const flags = { model: ['a=demo', 'b=demo'], contextCacheBytes: '0', contextTokens: 4096, parallel: 4 };

  test('because it does not fit beside the first is named, and the first serves', async () => {
    const node = await start({ flags }, { memoryBytes: 210 * MIB });
    expect(await servedBy(node)).toEqual(['a']);
    expect(node.node.description.unservedModels).toEqual([{ model: 'b', reason: expect.stringMatching(needs) }]);
    expect(await node.turn({ ...BRIEF, prompt: 'Hello.' })).toMatchObject({ model: 'a' });
    // The one that is left does not answer in its name.
    const answer = await node.post('/completion', { prompt: 'Hello.', model: 'b' });
    expect(answer).toMatchObject({ status: 503, body: { error: { type: 'llm_unavailable', param: 'model' } } });
    expect((await node.post('/completion', { prompt: 'Hello.', model: 'c' })).status).toBe(404);
  });

  test('leaves what it did not get to those after it', async () => {
    const file = fileWith('models:\n  - {name: wide, model: demo, parallel: 64}\n  - {name: a, model: demo}');
    const node = await start(
      { flags: { contextCacheBytes: '0', contextTokens: 4096 }, file },
      { memoryBytes: 210 * MIB },
    );
    expect(await servedBy(node)).toEqual(['a']);
  });

  test('is tried all the same where it is the only one', async () => {
    const node = await start({ flags: { model: 'a=demo' } }, { memoryBytes: 1 });
    expect(await servedBy(node)).toEqual(['a']);
  });

  test('keeps the node from starting where none is left, for all reasons', async () => {
    await expect(start({ flags }, { memoryBytes: 1 })).rejects.toMatchObject({
      code: 'model_unusable',
      message: expect.stringMatching(/^a: model demo does not fit[^\n]*\nb: model demo does not fit/),
    });
  });

  test('because its file or its llama-server is not there is named, too', async () => {
    const file = fileWith(`
models:
  - {name: lost, model: no-such.gguf}
  - {name: down, llm: "http://127.0.0.1:1"}
  - {name: up, llm: scripted}
`);
    const node = await start({ file });
    expect(await servedBy(node)).toEqual(['up']);
    expect(node.node.description.unservedModels).toEqual([
      { model: 'lost', reason: expect.stringContaining('does not exist') },
      { model: 'down', reason: expect.stringContaining('127.0.0.1:1') },
    ]);
    expect(await node.turn({ prompt: 'x' })).toMatchObject({ model: 'up' });
  });

  test('is a mistake of the configuration where two have one name', async () => {
    const started = start({ flags: { llm: ['scripted', 'scripted'] } });
    await expect(started).rejects.toMatchObject({
      code: 'config_invalid',
      message: 'two models are called scripted: give one another name, NAME=MODEL',
    });
  });
});

test('a chat template of its own is in use and part of the identity', async () => {
  const template = join(folder.path, 'own.jinja');
  writeFileSync(
    template,
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + ('OWN ' if m.role == 'user' else '') + m.content + '<|im_end|>\\n' }}{% endfor %}" +
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
  );
  const file = fileWith(`
models:
  - {name: usual, llm: scripted}
  - {name: own, llm: scripted, chat-template-file: ${template}}
`);
  const node = await start({ file });
  const [usual, own] = await Promise.all(['usual', 'own'].map(async (m) => (await node.get(`/props?model=${m}`)).body));
  expect(own.chat_template).toContain('OWN');
  expect(own.template_digest).not.toBe(usual.template_digest);
  expect((await node.turn({ prompt: 'x', model: 'own' })).content).toContain('OWN x');
});

test('a node that serves only some of the models gets only those', async () => {
  const natsProgram = (await natsPrograms())[0]?.path as string;
  const shared = { store: 'nats', natsProgram, natsListen: '127.0.0.1:0' };
  const both = await start({ flags: { ...shared, nodeId: 'both', llm: ['a=scripted', 'b=scripted'] } });
  const nodesOf = async (node: NodeUnderTest) => (await node.get('/nodes')).body.nodes;
  const peers = `both=${new URL((await nodesOf(both))[0].nats_url).host}`;
  const some = await start({ flags: { ...shared, nodeId: 'some', llm: 'b=scripted', peers } });
  await both.turn({ session_id: 'of-a', prompt: 'private to a', model: 'a' });
  await both.turn({
    session_id: 'of-b',
    prompt: 'x',
    model: 'b',
    write_concern: 'replicated',
    replicated_wait_ms: 30_000,
  });
  expect(await some.turn({ session_id: 'of-b', turn: 2, prompt: 'y', max_wait_ms: 30_000 })).toMatchObject({
    model: 'b',
    based_on_turn: 1,
  });
  expect((await some.get('/sessions/of-a')).status).toBe(404);

  const keygroupOf = async (model: string) => (await both.get(`/props?model=${model}`)).body.keygroup;
  const [a, b] = [await keygroupOf('a'), await keygroupOf('b')];
  await eventually(async () => {
    const seen = (await nodesOf(some)).find(({ node }: Json) => node === 'both');
    expect(seen).toMatchObject({ state: 'connected', model: 'a', models: ['a', 'b'], keygroups: [a, b], lag: 0 });
    // The records of one are taken, one by one; of the other there is no cursor.
    expect(seen.logs).toEqual([expect.objectContaining({ keygroup: b, model: 'b', cursor: 1, lag: 0 })]);
  });
  await eventually(async () => {
    const seen = (await nodesOf(both)).find(({ node }: Json) => node === 'some');
    expect(seen).toMatchObject({ state: 'connected', models: ['b'], keygroups: [b] });
    expect(seen.logs).toEqual([expect.objectContaining({ keygroup: b, cursor: 1, lag: 0 })]);
  });
  // Both streams are there for whoever serves both, over the one connection.
  const third = await start({ flags: { ...shared, nodeId: 'third', llm: ['b=scripted', 'a=scripted'], peers } });
  const turn2 = { session_id: 'of-a', turn: 2, prompt: 'Recall', model: 'a', max_wait_ms: 30_000 };
  expect((await third.turn(turn2)).content).toContain('private to a');
  expect(await third.turn({ session_id: 'of-b', turn: 3, prompt: 'z', max_wait_ms: 30_000 })).toMatchObject({
    model: 'b',
    based_on_turn: 2,
  });
});
