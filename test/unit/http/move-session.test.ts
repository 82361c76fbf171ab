// Moves sessions between two models of a node: what was said has to be there word for word, in the other model's ids, once,
// whatever is sent again or answered meanwhile; and whoever has no such session, or no such model, is told so.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { DiscedgeClient } from '../../../src/client/client.ts';
import { ENGINES } from '../../../src/edge-node/models/engines.ts';
import { type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

let node: InProcessNode;
/** Waited for whenever the second model is asked for ids: in the middle of a move to it. */
let meanwhile = async () => {};
let left = 0;
beforeAll(async () => {
  const start: typeof ENGINES.scripted.start = async (...args) => {
    const llm = await ENGINES.scripted.start(...args);
    if (llm.description.identity.name !== 'second') return llm;
    const tokenize = llm.tokenize.bind(llm);
    llm.tokenize = async (...asked) => {
      await meanwhile();
      return tokenize(...asked);
    };
    return llm;
  };
  const scripted = { ...ENGINES.scripted, start };
  const llm = ['first=scripted', 'second=scripted'];
  node = await startTestNode({ llm }, { engines: { ...ENGINES, scripted } });
});
afterEach(() => {
  meanwhile = async () => {};
});
afterAll(() => node.close());

const talk = async (session_id: string, fields: object = {}) => {
  await node.turn({ prompt: 'my name is Ada', system: 'be brief', session_id, model: 'first', ...fields });
  return node.turn({ prompt: 'I live in Turin', session_id, turn: 2, model: 'first', ...fields });
};
const move = (id: string, body: object, query = '') => node.post(`/sessions/${id}/move${query}`, body);
const refused = async (answer: ReturnType<typeof move>) => {
  const { status, body } = await answer;
  return [status, body.error?.type, body.error?.param];
};

it.each(['tokenized', 'raw'])('%s: goes on with the other model, which reads all of it', async (mode) => {
  const id = `trunk-${mode}`;
  const last = await talk(id, { mode });
  const moved = (await move(id, { model: 'second', session_id: `twig-${mode}` })).body;
  expect(moved).toMatchObject({
    ...{ session_id: `twig-${mode}`, model: 'second', mode, turn: 2, replayed: false, dropped_turns: 0 },
    not_carried: mode === 'raw' ? ['kv_state'] : ['exact_ids', 'kv_state'],
    moved_from: { session_id: id, model: 'first', turn: 2, context_id: last.context_id, deleted: false },
  });
  const shown = (await node.get(`/sessions/twig-${mode}?model=second`)).body;
  const source = (await node.get(`/sessions/${id}?model=first`)).body;
  const said = ({ turns }: typeof shown) =>
    turns.map(({ system, user, reply }: typeof shown) => ({ system, user, reply }));
  expect(said(shown)).toEqual(said(source));
  expect(shown.turns.map(({ moved_from }: typeof shown) => moved_from)).toEqual(
    source.turns.map(({ context_id }: typeof source) => context_id),
  );
  const ask = { turn: 3, prompt: 'Recall', model: 'second', context_id: moved.context_id };
  const next = await node.turn({ ...ask, session_id: `twig-${mode}` });
  expect(next.content).toBe('Turn 3: my name is Ada | I live in Turin | Recall');
  // The prompt is what the same conversation has there that was had there.
  const { model: _, context_id: __, ...same } = ask;
  expect(next.tokens_evaluated).toBe((await node.turn({ ...same, session_id: id, model: 'first' })).tokens_evaluated);
});

it('sent again is found done, and an id that is taken is refused', async () => {
  await talk('again');
  const body = { model: 'second', session_id: 'again' };
  const first = (await move('again', body, '?model=first')).body;
  expect((await move('again', body, '?model=first')).body).toEqual({ ...first, replayed: true });
  await talk('other');
  expect(await refused(move('other', { model: 'second', session_id: 'again' }))).toEqual([
    412,
    'session_exists',
    'session_id',
  ]);
  await node.turn({ prompt: 'more', session_id: 'again', turn: 3, model: 'second' });
  expect(await refused(move('again', body, '?model=first'))).toEqual([412, 'session_exists', 'session_id']);
});

it('through the client: deleted where it was, where that is asked for', async () => {
  const client = new DiscedgeClient({ nodes: [node.url] });
  await talk('gone');
  const moved = await client.sessions.move('gone', { model: 'second', delete: true });
  expect(moved).toMatchObject({ turn: 2, model: 'second', droppedTurns: 0, notCarried: ['exact_ids', 'kv_state'] });
  expect((await node.get('/sessions/gone?model=first')).status).toBe(410);
  expect((await node.get(`/sessions/${moved.sessionId}`)).body.turns).toHaveLength(2);
});

it.each<[string, { session_id?: string }, string]>([
  ['the id that is named', { session_id: 'arrived' }, ''],
  ['its own id', { session_id: 'left 1' }, ''],
  ['its own id, of the model that is named', { session_id: 'left 2' }, '?model=first'],
  ['a new id', {}, ''],
])('sent again once it has deleted the session, under %s, is told again', async (_, named, query) => {
  const id = `left ${left++}`;
  const path = encodeURIComponent(id);
  await talk(id);
  const body = { model: 'second', delete: true, ...named };
  const first = (await move(path, body, query)).body;
  expect(first).toMatchObject({
    ...{ turn: 2, replayed: false, not_carried: ['exact_ids', 'kv_state'] },
    moved_from: { session_id: id, model: 'first', turn: 2, deleted: true },
  });
  expect((await move(path, body, query)).body).toEqual({ ...first, replayed: true });
  const next = { prompt: 'Recall', session_id: first.session_id, turn: 3, model: 'second' };
  await node.turn({ ...next, context_id: first.context_id });
  const { expires_at, ...again } = (await move(path, body, query)).body;
  expect({ ...again, expires_at: first.expires_at }).toEqual({ ...first, replayed: true });
  expect((await move(path, body, `${query}${query === '' ? '?' : '&'}user_id=bob`)).body.error.type).toBe(
    'session_not_found',
  );
  expect(await refused(move(path, { ...body, session_id: 'elsewhere' }, query))).toEqual(
    named.session_id === id && query === ''
      ? [400, 'invalid_request', 'model']
      : [410, 'session_deleted', 'session_id'],
  );
  await node.request('DELETE', `/sessions/${encodeURIComponent(first.session_id)}?model=second`);
  expect((await move(path, body, '?model=first')).status).toBe(410);
});

it('what is answered while it is moved is moved, too, before it is deleted', async () => {
  await talk('lively');
  meanwhile = async () => {
    meanwhile = async () => {};
    await node.turn({ prompt: 'I have a cat', session_id: 'lively', turn: 3, model: 'first' });
  };
  const { body } = await move('lively', { model: 'second', delete: true });
  expect(body).toMatchObject({ turn: 3, replayed: false, moved_from: { turn: 3, deleted: true } });
  const shown = (await node.get(`/sessions/${body.session_id}?model=second`)).body;
  expect(shown.turns.map(({ user }: typeof shown) => user)).toEqual([
    'my name is Ada',
    'I live in Turin',
    'I have a cat',
  ]);
  expect((await node.get('/sessions/lively?model=first')).status).toBe(410);
});

it('where turns keep coming nothing is deleted, and it can be moved again', async () => {
  await talk('busy');
  let turn = 3;
  meanwhile = async () => {
    await node.turn({ prompt: 'and more', session_id: 'busy', turn: turn++, model: 'first' });
  };
  const body = { model: 'second', session_id: 'calm', delete: true };
  expect(await refused(move('busy', body))).toEqual([429, 'session_busy', undefined]);
  meanwhile = async () => {};
  const { turns } = (await node.get('/sessions/busy?model=first')).body;
  expect(turns).toHaveLength(turn - 1);
  expect((await move('busy', body)).body).toMatchObject({ turn: turn - 1, session_id: 'calm', replayed: false });
  expect((await node.get('/sessions/busy?model=first')).status).toBe(410);
});

it('is refused to its own model, to one that is not here, of nothing, and to others', async () => {
  await talk('mine');
  expect(await refused(move('mine', { model: 'first' }))).toEqual([400, 'invalid_request', 'model']);
  expect((await refused(move('mine', { model: 'third' })))[1]).toBe('model_not_found');
  expect((await refused(move('nobody', { model: 'second' })))[1]).toBe('session_not_found');
  expect((await refused(move('mine', { model: 'second' }, '?user_id=bob')))[1]).toBe('session_not_found');
  expect((await refused(move('mine', {})))[1]).toBe('invalid_request');
});
