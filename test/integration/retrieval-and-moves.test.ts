// Two nodes over NATS with the demo model, embedded and in a stock llama-server: what no longer fits at one node is brought back at the
// other, and a session is moved to another model at one node and goes on at the other.
import { afterEach, expect, it } from 'vitest';
import { DEMO_MODEL_PATH } from '../../src/edge-node/models/demo-model.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import type { RunningServer } from '../../tools/real-servers/running-server.ts';
import { ENGINES, startTwoNodes, type TwoNodes } from '../support/two-nodes.ts';

let nodes: TwoNodes | undefined;
let server: RunningServer | undefined;
afterEach(async () => {
  await nodes?.close();
  await server?.stop();
  nodes = server = undefined;
});

/** Ids of the demo model: a word of few letters has one or two. */
const LONG = 'the boat goes to the sea and the sun is on the water '.repeat(10);
const BRIEF = { n_predict: 8, temperature: 0 };

it.each(ENGINES)('%s: what was said at one node is brought back at the other', { timeout: 400_000 }, async (engine) => {
  nodes = await startTwoNodes(engine);
  const both = nodes;
  const ask = { session_id: 's', overflow: 'retrieve', ...BRIEF };
  let turn = 1;
  const take = (prompt: string) => both.node(turn).turn({ ...ask, turn: turn++, prompt });
  await take('My dog is called Rex.');
  while ((await take(LONG)).dropped_turns === 0);
  const found = await take('What is my dog called?');
  expect(found).toMatchObject({ exact_ids: true, retrieved_by: 'words' });
  expect(found.retrieved_turns).toContain(1);
  expect(found.tokens_evaluated + 8).toBeLessThanOrEqual(2048);
  // At the node that has not read it: the prompt before, what was brought back in it, is where this one begins.
  const next = await take('hello');
  expect(next.dropped_turns).toBe(found.dropped_turns);
  expect(next.tokens_evaluated).toBeGreaterThan(found.tokens_evaluated + found.tokens_predicted);
  const again = await take('hello');
  expect(again.timings.cache_n).toBeGreaterThanOrEqual(found.tokens_evaluated);
  const exported = (await both.node(turn).get(`/sessions/s/export?turn=${turn - 1}`)).body;
  const told = exported.turns.find(({ turn: number }: { turn: number }) => number === found.turn);
  expect(told).toMatchObject({ user: 'What is my dog called?', retrieved_turns: found.retrieved_turns });
});

it.each(ENGINES)('%s: a session moved at one node goes on at the other', { timeout: 400_000 }, async (engine) => {
  let models: object = { model: ['one=demo', 'two=demo'], contextTokens: 512 };
  if (engine === 'llama-server') {
    server = await startLlamaServer({ modelPath: DEMO_MODEL_PATH, contextTokens: 512, slots: 2 });
    models = { llm: [`one=${server.url}`, `two=${server.url}`], model: undefined, contextTokens: undefined };
  }
  // Embedded means here that no server is started for the nodes.
  nodes = await startTwoNodes('embedded', { flags: { ...models, modelName: undefined } });
  const [here, there] = [nodes.node(0), nodes.node(1)];
  await here.turn({ ...BRIEF, session_id: 's', prompt: 'My name is Ada.', model: 'one' });
  const last = await there.turn({ ...BRIEF, session_id: 's', turn: 2, prompt: 'I like the sea.', model: 'one' });
  const moved = await here.post('/sessions/s/move?turn=2', { model: 'two', session_id: 'm' });
  expect(moved.status, moved.text).toBe(200);
  expect(moved.body).toMatchObject({
    turn: 2,
    model: 'two',
    not_carried: expect.arrayContaining(['exact_ids', 'kv_state']),
  });
  expect(moved.body.moved_from).toMatchObject({ session_id: 's', model: 'one', context_id: last.context_id });
  const ask = { ...BRIEF, n_predict: 24, turn: 3, prompt: 'What is my name?' };
  const next = await there.turn({ ...ask, session_id: 'm', model: 'two' });
  expect(next).toMatchObject({ model: 'two', based_on_turn: 2, exact_ids: true, dropped_turns: 0 });
  expect(next.content).toContain('Ada');
  // The session stays where it was.
  expect((await there.turn({ ...ask, session_id: 's', model: 'one' })).content).toContain('Ada');
});
