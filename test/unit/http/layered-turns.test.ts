import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DiscedgeClient } from '../../../src/client/client.ts';
import type { ModelSource } from '../../../src/config/engine-kinds.ts';
import { ENGINES, type EngineStart } from '../../../src/edge-node/models/engines.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { type InProcessNode, type Json, startTestNode } from '../../../tools/test-node.ts';
import { type Generation, ProbedLlm, textOf } from '../../support/probed-llm.ts';

const WINDOW = 900;
const LAYERS = ['CANARYDEPLOYMENT', 'CANARYREGION', 'CANARYADA'];
const ENDLESS = { ignore_eos: true, n_predict: -1 };

describe.each(['tokenized', 'raw'])('in mode %s', (mode) => {
  const folder = temporaryFolder();
  const llms = new Map<string, ProbedLlm>();
  let node: InProcessNode;
  let sessions = 0;
  let session_id: string;

  beforeAll(async () => {
    const scripted = {
      ...ENGINES.scripted,
      start: async (_: ModelSource, { model: { name: modelName }, environment }: EngineStart) => {
        const llm = new ProbedLlm({ contextTokens: WINDOW, modelName }, environment);
        llms.set(llm.description.identity.name, llm);
        return llm;
      },
    };
    const layers = {
      systemPromptFile: folder.file('deployment.txt', 'CANARYDEPLOYMENT: be polite.'),
      regionalData: folder.file('region.txt', 'CANARYREGION is Wien.'),
    };
    const models = { llm: ['first=scripted', 'second=scripted'], replyTokensMax: 10_000, mode };
    node = await startTestNode({ ...layers, ...models }, { engines: { ...ENGINES, scripted } });
  });
  afterAll(async () => {
    await node.close();
    folder.remove();
  });
  beforeEach(async () => {
    session_id = `s${++sessions}`;
    await prefer('CANARYADA');
  });

  const prefer = (preferences: string) => node.put('/users/ada/preferences', { preferences });
  const turn = (number: number, more: object = {}): Promise<Json> =>
    node.turn({
      session_id,
      user_id: 'ada',
      model: 'first',
      turn: number,
      prompt: `say ${number}`,
      n_predict: 20,
      ...more,
    });
  const promptOf = (model: string) => textOf((llms.get(model) as ProbedLlm).generations.at(-1) as Generation);
  const changedIn = ({ layers }: Json) =>
    layers.parts.filter(({ changed }: Json) => changed).map(({ name }: Json) => name);
  const expectLayersOnce = (model = 'first') => {
    for (const layer of LAYERS) expect(promptOf(model).split(layer), layer).toHaveLength(2);
  };

  it('a reply that the window has cut is called truncated when it is sent again', async () => {
    const asked = { ...ENDLESS, prompt: 'x' };
    const cut = await turn(1, asked);
    expect(cut).toMatchObject({ truncated: true, replayed: false });
    expect(cut.tokens_evaluated + cut.tokens_predicted).toBe(WINDOW);
    expect(await turn(1, asked)).toMatchObject({ truncated: true, replayed: true, stop_type: 'limit' });
    session_id = 'short';
    expect(await turn(1)).toMatchObject({ truncated: false });
    expect(await turn(1)).toMatchObject({ truncated: false, replayed: true });
  });

  it('a draft has the layers of its turn, which finds it evaluated', async () => {
    await turn(1);
    await prefer('CANARYADA, at length.');
    const draft = await turn(2, { n_predict: 0 });
    expect(changedIn(draft)).toEqual(['preferences']);
    expect(draft.timings.prompt_n).toBeGreaterThanOrEqual(draft.layers.tokens_rewritten);
    const taken = await turn(2);
    expect([changedIn(taken), taken.timings.prompt_n]).toEqual([['preferences'], 1]);
    const next = await turn(3);
    expect([changedIn(next), next.layers.tokens_rewritten]).toEqual([[], 0]);
    expectLayersOnce();
  });

  it('a fork goes on under the same layers, and nothing of them has changed', async () => {
    await turn(1, { system: 'Be brief.' });
    const { context_id } = await turn(2);
    const fork = await node.post(`/sessions/${session_id}/fork?user_id=ada`, { context_id });
    expect(fork.status, fork.text).toBe(200);
    const reply = await turn(3, { session_id: fork.body.session_id });
    expect([changedIn(reply), reply.layers.tokens_rewritten]).toEqual([[], 0]);
    expectLayersOnce();
    expect(promptOf('first')).toContain('Be brief.');
  });

  it('a session that moves to another model has that model’s layers, and takes none along', async () => {
    await turn(1, { system: 'Be brief.' });
    await turn(2);
    const moved = await node.post(`/sessions/${session_id}/move?user_id=ada`, { model: 'second' });
    expect(moved.status, moved.text).toBe(200);
    const there = { session_id: moved.body.session_id, model: 'second' };
    const { text } = await node.get(`/sessions/${there.session_id}/export?user_id=ada&model=second`);
    expect(text).toContain('say 1');
    expect(text).not.toContain('CANARY');
    const third = await turn(3, there);
    expectLayersOnce('second');
    expect(third.layers.tokens_rewritten).toBeLessThan(third.tokens_evaluated);
    const fourth = await turn(4, there);
    expect([changedIn(fourth), fourth.layers.tokens_rewritten]).toEqual([[], 0]);
    expect(fourth.timings.cache_n).toBeGreaterThanOrEqual(third.tokens_evaluated + third.tokens_predicted - 1);
  });

  it('preferences that change while a turn is answered count from the next one on', async () => {
    await turn(1);
    const hold = (llms.get('first') as ProbedLlm).hold();
    const second = turn(2);
    await hold.entered;
    await prefer('CANARYADA, and later.');
    hold.release();
    expect(changedIn(await second)).toEqual([]);
    expect(promptOf('first')).not.toContain('and later');
    expect(changedIn(await turn(3))).toEqual(['preferences']);
    expect(promptOf('first')).toContain('and later');
  });

  it('what is left out of a full window is no more than what is told as evaluated again', async () => {
    const ask = { overflow: 'drop-oldest', prompt: 'm'.repeat(120) };
    for (let number = 1; ; number++) {
      await prefer(`CANARYADA ${number}`);
      const { dropped_turns, layers, tokens_evaluated } = await turn(number, ask);
      expect(layers.tokens_rewritten).toBeLessThan(tokens_evaluated - 120);
      if (dropped_turns > 1) break;
    }
    expectLayersOnce();
  });

  it('a prompt that its client keeps has none, whatever it says of them', async () => {
    for (const layers of [undefined, false, { region: false }]) {
      const asked = { prompt: 'hello', mode: 'client-side', user_id: 'ada', model: 'first', ...(layers && { layers }) };
      const reply = await node.turn(asked);
      expect(reply.tokens_evaluated).toBe('hello'.length);
      expect(reply).not.toHaveProperty('layers');
    }
  });

  it('a client says which it does without, for a turn or for all of a session, and reads what stood there', async () => {
    const client = new DiscedgeClient({ nodes: node.url, userId: 'ada' });
    const session = client.session({ model: 'first', turnOptions: { layers: { region: false } } });
    const names = (layers: Json) => layers.parts.map(({ name }: Json) => name);
    expect(names((await session.send('one')).layers)).toEqual(['deployment', 'preferences']);
    const second = await session.send('two', { layers: false });
    expect(second.layers?.parts).toMatchObject([
      { name: 'deployment', changed: false },
      { name: 'preferences', tokens: 0, changed: true },
    ]);
    expect(second.layers?.rewrittenTokens).toBe(second.wire.layers && (second.wire.layers as Json).tokens_rewritten);
    expect((await client.complete('hello')).wire).not.toHaveProperty('layers');
  });
});
