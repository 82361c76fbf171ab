import { afterAll, expect, it } from 'vitest';
import { temporaryFolder } from '../../tools/node-process.ts';
import { type Json, startTestNode } from '../../tools/test-node.ts';
import { startTwoNodes } from '../support/two-nodes.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());
const LONG = 'The robot has a lamp and a cup of tea. '.repeat(12);
const BRIEF = { n_predict: 8, temperature: 0 };
const systemPromptFile = folder.file(
  'deployment.txt',
  'Answer politely, and say what you know of the lamp. '.repeat(8),
);
const tokensOf = (reply: Json, name: string) => reply.layers.parts.find((part: Json) => part.name === name)?.tokens;

it('what is warmed at a node is its own prompt, whatever the client does without', { timeout: 200_000 }, async () => {
  const regions = ['The lamp is red in Wien.', 'The lamp is blue in Linz, and so is the cup.'];
  const nodes = await startTwoNodes('embedded', {
    flags: { warming: 'all', parallel: 2, threads: 1 },
    flagsOf: (index) => ({
      systemPromptFile,
      regionalData: folder.file(`region-${index}.txt`, regions[index] as string),
    }),
  });
  try {
    const [a, b] = [nodes.node(0), nodes.node(1)];
    const held = async () => (await b.get('/nodes?probe=false')).body.nodes[0].warming[0].tokens_held;
    for (const layers of [undefined, { region: false }]) {
      const session = { session_id: `warm ${layers?.region}`, ...BRIEF, ...(layers && { layers }) };
      await a.turn({ ...session, turn: 1, prompt: LONG });
      const { tokens_evaluated, tokens_predicted } = await a.turn({ ...session, turn: 2, prompt: 'And a window.' });
      // Of one session alone, as a turn uses what it finds. The other region is longer.
      await expect.poll(held, { timeout: 60_000 }).toBeGreaterThanOrEqual(tokens_evaluated + tokens_predicted - 1);
      const third = await b.turn({ ...session, turn: 3, prompt: 'What has it?' });
      expect(third.timings.prompt_n).toBeLessThan(40);
      expect(third.timings.warmed_n).toBe(third.tokens_evaluated - third.timings.prompt_n);
      const changed = third.layers.parts.filter((part: Json) => part.changed).map(({ name }: Json) => name);
      expect(changed).toEqual(layers === undefined ? ['region'] : []);
      expect(third.layers.tokens_rewritten).toBeLessThan(third.tokens_evaluated);
      const fourth = await b.turn({ ...session, turn: 4, prompt: 'And now?' });
      expect(fourth.layers.tokens_rewritten).toBe(0);
      expect(fourth.timings.cache_n).toBeGreaterThanOrEqual(third.tokens_evaluated + third.tokens_predicted - 1);
    }
  } finally {
    await nodes.close();
  }
});

it.each([true, false])('share-kv %s: what stands before all users', { timeout: 120_000 }, async (shareKv) => {
  // One sequence, which is the first user's when the second comes.
  const demo = { llm: undefined, model: 'demo', contextTokens: 2048, parallel: 1, threads: 1 };
  const node = await startTestNode({ ...demo, shareKv, systemPromptFile });
  try {
    for (const [user, preferences] of [
      ['ada', 'A red lamp, please.'],
      ['bob', 'No lamp at all.'],
    ])
      await node.put(`/users/${user}/preferences`, { preferences });
    const first = await node.turn({ ...BRIEF, user_id: 'ada', prompt: LONG });
    const other = await node.turn({ ...BRIEF, user_id: 'bob', prompt: LONG });
    const deployment = tokensOf(other, 'deployment');
    expect(deployment).toBe(tokensOf(first, 'deployment'));
    expect(deployment).toBeGreaterThan(64);
    if (shareKv) {
      expect(other.timings.cache_n).toBeGreaterThanOrEqual(deployment);
      // Not his message, though it is the same: what stands before it is not.
      expect(other.timings.cache_n).toBeLessThan(deployment + tokensOf(other, 'preferences') + 10);
    } else {
      expect(other.timings.cache_n).toBe(0);
    }
  } finally {
    await node.close();
  }
});
