import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryFolder } from '../../tools/node-process.ts';
import type { Json } from '../../tools/test-node.ts';
import { filesWith } from '../support/files-with.ts';
import { startTwoNodes, type TwoNodes } from '../support/two-nodes.ts';

const folder = temporaryFolder();
const REGIONS = ['CANARYWIEN: parking is short.', 'CANARYLINZ: parking is free on Sundays, and long.'] as const;
let nodes: TwoNodes;

beforeAll(async () => {
  const systemPromptFile = folder.file('deployment.txt', 'CANARYDEPLOYMENT: be polite.');
  nodes = await startTwoNodes('embedded', {
    flagsOf: (index) => ({
      systemPromptFile,
      regionalData: folder.file(`region-${index}.txt`, REGIONS[index % 2] as string),
      dataDir: join(folder.path, `e${index + 1}`),
    }),
  });
});
afterAll(async () => {
  await nodes?.close();
  folder.remove();
});

const changedIn = (reply: Json) =>
  reply.layers.parts.filter(({ changed }: Json) => changed).map(({ name }: Json) => name);
const preferencesAt = async (index: number) => (await nodes.node(index).get('/users/ada/preferences')).body.version;

it.each(['tokenized', 'raw'])('in mode %s the reply says what a change of region costs', async (mode) => {
  const session = { session_id: `roams ${mode}`, user_id: 'ada', n_predict: 6, temperature: 0 };
  const turn = (index: number, turn: number, more: object = {}) =>
    nodes.node(index).turn({ ...session, turn, prompt: `My number is ${turn}.`, ...more });
  const first = await turn(0, 1, { mode, system: 'Answer briefly.' });
  const second = await turn(0, 2);
  expect([changedIn(second), second.layers.tokens_rewritten]).toEqual([[], 0]);
  if (mode === 'tokenized')
    expect(second.timings.cache_n).toBeGreaterThanOrEqual(first.tokens_evaluated + first.tokens_predicted - 1);

  const third = await turn(1, 3);
  expect(third.based_on_turn).toBe(2);
  expect(changedIn(third)).toEqual(['region']);
  // All but what stands before the region, and the new message.
  expect(third.layers.tokens_rewritten).toBeGreaterThan(second.tokens_evaluated / 2);
  expect(third.layers.tokens_rewritten).toBeLessThan(third.tokens_evaluated);
  const fourth = await turn(1, 4);
  expect([changedIn(fourth), fourth.layers.tokens_rewritten]).toEqual([[], 0]);

  const version = await preferencesAt(0);
  await nodes.node(0).put('/users/ada/preferences', { preferences: `CANARYADA ${mode}` });
  await expect.poll(() => preferencesAt(1)).toBe(version + 1);
  const fifth = await turn(1, 5);
  expect(changedIn(fifth)).toEqual(['preferences']);
  expect(fifth.layers.parts).toHaveLength(3);
  const sixth = await turn(0, 6);
  expect(changedIn(sixth)).toEqual(['region']);
});

it('no disk has the data of a region, nor the deployment’s prompt', async () => {
  await nodes.close();
  for (const place of ['e1', 'e2']) {
    const found = (...words: readonly string[]) => filesWith(join(folder.path, place), ...words);
    // What is said in words is there, so these would be.
    expect(await found('CANARYADA')).not.toEqual([]);
    expect(await found('My number is 3.')).not.toEqual([]);
    expect(await found('CANARYWIEN', 'CANARYLINZ', 'CANARYDEPLOYMENT')).toEqual([]);
  }
});
