import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SUMMARY_REQUEST } from '../../../src/context-manager/modes/summary-request.ts';
import { ENGINES } from '../../../src/edge-node/models/engines.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { type InProcessNode, type Json, startTestNode } from '../../../tools/test-node.ts';
import { filesWith } from '../../support/files-with.ts';
import { ProbedLlm, textOf } from '../../support/probed-llm.ts';

const WINDOW = 3200;
const LAYERS = ['CANARYDEPLOYMENT', 'CANARYREGION', 'CANARYADA'];
const folder = temporaryFolder();
const dataDir = join(folder.path, 'data');
const said = (prompt: string) => /system\n(.*?)(?:<\|im_end\|>|\x01)/s.exec(prompt)?.[1] ?? 'nothing was said';
const isSummary = (prompt: string) => prompt.endsWith(`${SUMMARY_REQUEST}<|im_end|>\n<|im_start|>assistant\n`);
let node: InProcessNode;
let llm: ProbedLlm;

beforeAll(async () => {
  const scripted = {
    ...ENGINES.scripted,
    start: async (_: unknown, { environment }: { environment: ConstructorParameters<typeof ProbedLlm>[1] }) => {
      const reply = (prompt: string) => (isSummary(prompt) ? said(prompt) : 'reply');
      llm = new ProbedLlm({ contextTokens: WINDOW, reply }, environment);
      return llm;
    },
  };
  const layers = {
    systemPromptFile: folder.file('deployment.txt', 'CANARYDEPLOYMENT: be polite.'),
    regionalData: folder.file('region.txt', 'CANARYREGION is Wien.'),
  };
  node = await startTestNode({ ...layers, store: 'leveldb', dataDir }, { engines: { ...ENGINES, scripted } });
  for (const [user, preferences] of [
    ['ada', 'CANARYADA'],
    ['bob', 'CANARYBOB'],
  ])
    await node.put(`/users/${user}/preferences`, { preferences });
});
afterAll(async () => {
  await node.close();
  folder.remove();
});

const asksForSummary = (prompt: string) => prompt.slice(-320).includes(SUMMARY_REQUEST);
const prompts = () => llm.generations.map(textOf);
const lastPrompt = () => prompts().findLast((prompt) => !asksForSummary(prompt)) as string;
const turn = (session_id: string, turn: number, more: object = {}): Promise<Json> =>
  node.turn({ session_id, user_id: 'ada', turn, prompt: `${turn} ${'m'.repeat(400)}`, n_predict: 40, ...more });

it.each(['tokenized', 'raw'])(
  'in mode %s a session that is summed up has each layer once, and none in what is kept',
  async (mode) => {
    const session = `summed ${mode}`;
    let summed = 0;
    for (let at = 1; at <= 14; at++) {
      const opening = at === 1 ? { mode, system: 'Be brief.' } : {};
      const reply = await turn(session, at, { overflow: 'summarize', ...opening });
      summed = reply.summarized_turns ?? summed;
      for (const layer of LAYERS) expect(said(lastPrompt()).split(layer)).toHaveLength(2);
    }
    expect(summed).toBeGreaterThan(0);
    const asked = prompts().filter(asksForSummary);
    expect(asked.length).toBeGreaterThan(0);
    for (const prompt of asked) {
      expect(prompt).toContain('CANARYDEPLOYMENT');
      expect(prompt).not.toMatch(/CANARYREGION|CANARYADA/);
    }
    const path = `/sessions/${encodeURIComponent(session)}`;
    const shown = await node.get(`${path}?user_id=ada`);
    expect(shown.body.summaries[0].text).toContain('CANARYDEPLOYMENT');
    expect(shown.text).not.toMatch(/CANARYREGION|CANARYADA/);
    const { text } = await node.get(`${path}/export?user_id=ada`);
    expect(text).toContain('Be brief.');
    expect(text).not.toMatch(/CANARYREGION|CANARYADA/);
  },
);

it('without regional data for a turn, it is in no summary for it, made while it waits or ahead', async () => {
  const before = llm.generations.length;
  const ask = { overflow: 'summarize', layers: { region: false } };
  for (let at = 1; at <= 14; at++) await turn('no region', at, ask);
  const read = prompts().slice(before);
  expect(read.filter(asksForSummary).length).toBeGreaterThan(0);
  for (const prompt of read) expect(prompt).not.toContain('CANARYREGION');
});

it.each(['tokenized', 'raw'])(
  'in mode %s what is brought back stands behind the layers, and is no other user’s',
  async (mode) => {
    for (const user_id of ['ada', 'bob']) {
      const session = `brought back ${mode}`;
      const ask = { overflow: 'retrieve', user_id };
      await turn(session, 1, { ...ask, mode, prompt: `My cat Whiskers of ${user_id} likes tuna` });
      for (let at = 2; at <= 12; at++) await turn(session, at, ask);
      const reply = await turn(session, 13, { ...ask, prompt: 'What does Whiskers like?' });
      const told = { retrieved_turns: [1], retrieved_by: 'words' };
      expect(reply).toMatchObject(told);
      const shown = (await node.get(`/sessions/${encodeURIComponent(session)}?user_id=${user_id}`)).body;
      expect(shown.turns.at(-1)).toMatchObject(told);
      const [prompt, own, other] = [lastPrompt(), user_id, user_id === 'ada' ? 'bob' : 'ada'];
      expect(prompt).toContain(`Whiskers of ${own} likes tuna`);
      for (const layer of ['CANARYDEPLOYMENT', 'CANARYREGION', `CANARY${own.toUpperCase()}`])
        expect(prompt.split(layer)).toHaveLength(2);
      expect(prompt).not.toContain(`CANARY${other.toUpperCase()}`);
    }
  },
);

it('no file has the data of the region', async () => {
  await node.close();
  expect(await filesWith(dataDir, 'CANARYBOB')).not.toEqual([]);
  expect(await filesWith(dataDir, 'CANARYREGION')).toEqual([]);
});
