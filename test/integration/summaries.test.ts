// Two nodes over NATS with the demo model, embedded and in a stock llama-server: a conversation becomes longer than the window. What
// one node has summed up ahead of need, the other's next turn begins with, and the session goes on at both, exactly.
import { afterEach, expect, it } from 'vitest';
import { ENGINES, startTwoNodes, type TwoNodes } from '../support/two-nodes.ts';

let nodes: TwoNodes | undefined;
afterEach(async () => {
  await nodes?.close();
  nodes = undefined;
});

const PATIENCE = { timeout: 120_000, interval: 200 };
/** Ids of the demo model: a word of few letters has one or two. */
const LONG = 'the boat goes to the sea and the sun is on the water '.repeat(14);

it.each(ENGINES)('%s: a summary made at one node is read at the other', { timeout: 400_000 }, async (engine) => {
  nodes = await startTwoNodes(engine);
  const [here, there] = [nodes.node(0), nodes.node(1)];
  const ask = { session_id: 's', overflow: 'summarize', n_predict: 24, temperature: 0 };
  const take = (at: typeof here, turn: number, prompt = LONG) => at.turn({ ...ask, turn, prompt });
  const summaries = async (at: typeof here) => (await at.get('/sessions/s')).body.summaries ?? [];
  let turn = 1;
  let last = await take(here, turn);
  while (last.tokens_evaluated < 0.72 * 2048) last = await take(here, ++turn);
  expect(last.summarized_turns).toBeUndefined();
  await expect.poll(() => summaries(here), PATIENCE).toHaveLength(1);
  await expect.poll(() => summaries(there), PATIENCE).toHaveLength(1);
  const [made] = await summaries(here);
  expect(await summaries(there)).toEqual([made]);
  expect(made).toMatchObject({ turns: turn, node: 'e1', text: expect.stringMatching(/\S/) });
  let first = await take(there, ++turn);
  while (first.summarized_turns === undefined) first = await take(there, ++turn);
  expect(first).toMatchObject({
    summarized_turns: made.turns,
    summary_made: 'ahead',
    dropped_turns: 0,
    exact_ids: true,
  });
  expect(first.tokens_evaluated).toBeLessThan(2048 / 2);
  const next = await take(here, ++turn, 'hello');
  expect(next).toMatchObject({ summarized_turns: made.turns, summary_made: 'before' });
  // All of the prompt before, of which that node has read nothing, and its reply: its ids stand in front of the new ones.
  const again = await take(here, ++turn, 'hello');
  expect(again.timings.cache_n).toBeGreaterThanOrEqual(next.tokens_evaluated + next.tokens_predicted - 2);
  const exported = (await there.get(`/sessions/s/export?turn=${turn}`)).body;
  expect(exported.turns).toHaveLength(turn);
});
