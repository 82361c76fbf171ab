/**
 * A node with two models, asked so that it could mix them up: one session id in both, requests that name the other model,
 * none, or one that is not there. Also what it says where one of them does not work.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

let node: InProcessNode;
let one: InProcessNode;
beforeAll(async () => {
  node = await startTestNode({ llm: ['first=scripted', 'second=scripted'] });
  one = await startTestNode({ llm: 'only=scripted' });
});
afterAll(async () => {
  await node.close();
  await one.close();
});

describe('which model is meant', () => {
  it('both are listed, the default one first', async () => {
    expect((await node.get('/v1/models')).body.data.map(({ id }: { id: string }) => id)).toEqual(['first', 'second']);
    expect((await node.get('/nodes')).body.nodes[0]).toMatchObject({ model: 'first', models: ['first', 'second'] });
  });

  it.each([
    [undefined, 'first'],
    ['', 'first'],
    [null, 'first'],
    ['first', 'first'],
    ['second', 'second'],
  ])('a turn with model %j is answered by %s, which the reply names', async (model, name) => {
    expect(await node.turn({ prompt: 'x', model })).toMatchObject({ model: name });
    expect(await node.turn({ prompt: 'x', model, stream: true })).toMatchObject({ model: name });
  });

  it('a name that is not served is a 404 that lists those that are', async () => {
    const requests = [
      node.post('/completion', { prompt: 'x', model: 'third' }),
      node.post('/completion', { prompt: 'x', model: 'third', stream: true }),
      node.post('/tokenize', { content: 'x', model: 'third' }),
      node.post('/detokenize', { tokens: [1], model: 'third' }),
      node.get('/props?model=third'),
      node.get('/ready?model=third'),
      node.get('/sessions?model=third'),
      node.get('/sessions/s?model=third'),
      node.post('/sessions/s/cancel?model=third', {}),
    ];
    for (const answer of await Promise.all(requests)) {
      expect(answer.status).toBe(404);
      expect(answer.body.error).toEqual({
        code: 404,
        type: 'model_not_found',
        param: 'model',
        message: 'this node serves no model of that name; it serves first, second',
      });
    }
  });

  it('a node with one model takes any name', async () => {
    expect(await one.turn({ prompt: 'x', model: 'gpt' })).toMatchObject({ model: 'only' });
    expect((await one.get('/props?model=gpt')).body).toMatchObject({ model_alias: 'only' });
    expect((await one.get('/sessions?model=gpt')).status).toBe(200);
  });

  it('properties, readiness and tokens are those of the model that is named', async () => {
    expect((await node.get('/props')).body).toMatchObject({ model_alias: 'first', models: ['first', 'second'] });
    expect((await node.get('/props?model=second')).body).toMatchObject({ model_alias: 'second' });
    expect((await node.get('/ready')).body).toMatchObject({ status: 'ready', models: ['first', 'second'] });
    expect((await node.get('/ready?model=second')).body).toMatchObject({ models: ['second'] });
    expect((await node.post('/tokenize', { content: 'a', model: 'second' })).body).toEqual({ tokens: [97] });
  });
});

describe('a session belongs to its model', () => {
  const query = (model?: string) => `?user_id=apart${model === undefined ? '' : `&model=${model}`}`;
  const turn = (body: Record<string, unknown>) => node.turn({ user_id: 'apart', ...body });

  it('one id in two models is two sessions', async () => {
    await turn({ session_id: 'same', prompt: 'to the first' });
    await turn({ session_id: 'same', prompt: 'to the second', model: 'second' });
    const shown = async (model?: string) => (await node.get(`/sessions/same${query(model)}`)).body;
    expect(await shown('first')).toMatchObject({ model: 'first', turns: [{ user: 'to the first' }] });
    expect(await shown('second')).toMatchObject({ model: 'second', turns: [{ user: 'to the second' }] });
    expect(await shown()).toMatchObject({ model: 'first' });
    expect(await turn({ session_id: 'same', turn: 2, prompt: 'Recall', model: 'second' })).toMatchObject({
      content: expect.not.stringContaining('to the first'),
    });
  });

  it('without a name it is found where it is', async () => {
    await turn({ session_id: 'elsewhere', prompt: 'x', model: 'second' });
    const path = '/sessions/elsewhere';
    expect((await node.get(path + query())).body).toMatchObject({ model: 'second', turns: [{ user: 'x' }] });
    expect((await node.get(`${path}/export${query()}`)).body).toMatchObject({ model: 'second' });
    const fork = await node.post(`${path}/fork${query()}`, { turn: 1, session_id: 'forked' });
    expect(fork.body).toMatchObject({ model: 'second', session_id: 'forked' });
    expect((await node.get(`/sessions/forked${query('second')}`)).status).toBe(200);
    expect((await node.get(`${path}${query('first')}`)).body.error).toMatchObject({ type: 'session_not_found' });
    expect((await node.request('DELETE', path + query('first'))).status).toBe(404);
    expect((await node.request('DELETE', path + query())).body).toEqual({ session_id: 'elsewhere', deleted: true });
    expect((await node.get(path + query())).body.error).toMatchObject({ type: 'session_deleted' });
    expect((await node.get(`/sessions/nowhere${query()}`)).body.error).toMatchObject({ type: 'session_not_found' });
  });

  it.each(['first', 'second'])(
    'a first turn that runs in %s is cancelled though nothing tells where it is',
    async (model) => {
      const endless = { ignore_eos: true, n_predict: 8192, stream: true };
      const running = node.post('/completion', { user_id: 'apart', session_id: 'new', prompt: 'x', model, ...endless });
      const stop = () => node.post(`/sessions/new/cancel${query()}`, {});
      await expect.poll(async () => (await stop()).body, { interval: 1 }).toEqual({ cancelled: true });
      expect((await running).text).toContain('turn_cancelled');
      expect((await node.get(`/sessions/new${query()}`)).status).toBe(404);
    },
  );

  it('a cancel that may mean turns of two models stops neither and names both', async () => {
    const endless = { ignore_eos: true, n_predict: 8192, stream: true };
    const both = { user_id: 'apart', session_id: 'both', prompt: 'x', ...endless };
    const running = ['first', 'second'].map((model) => node.post('/completion', { ...both, model }));
    const stop = (model?: string) => node.post(`/sessions/both/cancel${query(model)}`, {});
    await expect.poll(async () => (await node.get('/metrics')).text).toMatch(/^discedge_turns_in_flight 2$/m);
    const refused = await stop();
    expect(refused).toMatchObject({ status: 400, body: { error: { type: 'invalid_request', param: 'model' } } });
    expect(refused.body.error.message).toMatch(/\(first, second\)/);
    expect((await stop('second')).body).toEqual({ cancelled: true });
    expect((await running[1])?.text).toContain('turn_cancelled');
    expect((await stop()).body).toEqual({ cancelled: true });
    expect((await running[0])?.text).toContain('turn_cancelled');
    expect((await stop()).body).toEqual({ cancelled: false });
  });

  it('the list is that of all models, page by page, each session once', async () => {
    for (const session_id of ['a', 'b', 'c', 'd']) {
      for (const model of session_id === 'b' ? ['first'] : ['first', 'second']) {
        await node.turn({ user_id: 'lister', session_id, model, prompt: 'x' });
      }
    }
    const listed = async (limit: number, model = '') => {
      const found: string[] = [];
      let after = '';
      for (;;) {
        const { data, has_more, next } = (await node.get(`/sessions?user_id=lister&limit=${limit}${after}${model}`))
          .body;
        found.push(...data.map((s: { session_id: string; model: string }) => `${s.session_id} ${s.model}`));
        expect(has_more).toBe(next !== undefined);
        if (!has_more) return found;
        after = `&after=${next}`;
      }
    };
    const all = ['a first', 'a second', 'b first', 'c first', 'c second', 'd first', 'd second'];
    for (const limit of [1, 2, 3, 4, 7, 100]) expect(await listed(limit), `limit ${limit}`).toEqual(all);
    expect(await listed(2, '&model=second')).toEqual(['a second', 'c second', 'd second']);
  });
});

it('metrics are counted by model, gauges of the node once', async () => {
  const { text } = await node.get('/metrics');
  expect(text).toMatch(/^discedge_turns_total\{model="first",outcome="ok"\} [1-9]/m);
  expect(text).toMatch(/^discedge_turns_total\{model="second",outcome="ok"\} [1-9]/m);
  expect(text.match(/^discedge_turns_in_flight /gm)).toHaveLength(1);
});
