// What a client says of where it goes: tries to learn from the answer what is another's, to have anything stored, and to name
// nodes in a way that is kept.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DiscedgeClient } from '../../../src/client/client.ts';
import { type InProcessNode, type Json, startTestNode } from '../../../tools/test-node.ts';

let node: InProcessNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.close());

it('tells the last turn that is here; of another user’s session as of none', async () => {
  await node.turn({ prompt: 'x', session_id: 's', user_id: 'ann' });
  await node.turn({ prompt: 'x', session_id: 's', user_id: 'ann', turn: 2 });
  const own = (await node.post('/sessions/s/coming?user_id=ann', undefined)).body;
  // The store of this node shares with no other, so nobody comes from one.
  expect(own).toEqual({ session_id: 's', turn: 2, warms: false });
  expect((await node.post('/sessions/s/coming?user_id=bob', {})).body).toEqual({ ...own, turn: 0 });
  expect((await node.get('/sessions?user_id=bob')).body.data).toEqual([]);
});

it('of a deleted session it says so', async () => {
  await node.turn({ prompt: 'x', session_id: 'gone' });
  await node.request('DELETE', '/sessions/gone');
  expect((await node.post('/sessions/gone/coming', {})).status).toBe(410);
});

it('takes a few node ids with a turn, in every dialect that has sessions, and refuses what is none or too many', async () => {
  const turn = { prompt: 'x', session_id: 'n', next_nodes: ['e2', 'nowhere'] };
  const first = await node.turn(turn);
  // It is no part of what the turn says: said otherwise, the turn is the same.
  expect(await node.turn({ ...turn, next_nodes: ['e3'] })).toMatchObject({
    replayed: true,
    context_id: first.context_id,
  });
  for (const next_nodes of [['a', 'b', 'c', 'd', 'e'], ['x'.repeat(33)], [''], 'e2'])
    expect((await node.post('/completion', { ...turn, turn: 2, next_nodes })).status, String(next_nodes)).toBe(400);
  const messages = [{ role: 'user', content: 'x' }];
  expect((await node.post('/v1/chat/completions', { messages, next_nodes: ['e2'] })).status).toBe(200);
  const anthropic = { model: 'scripted', max_tokens: 4, messages, next_nodes: ['e2'] };
  expect((await node.post('/v1/messages', anthropic)).status).toBe(200);
});

it('the client says it, to a node and with a turn', async () => {
  const bodies: Json[] = [];
  const watched: typeof fetch = (input, init) => {
    if (init?.body) bodies.push(JSON.parse(String(init.body)));
    return fetch(input, init);
  };
  const session = new DiscedgeClient({ nodes: [node.url], fetch: watched }).session();
  expect(await session.coming(node.url)).toEqual({ turn: 0, warms: false });
  const reply = await session.send('hi', { nextNodes: ['e2', 'e3'] });
  expect(bodies.at(-1).next_nodes).toEqual(['e2', 'e3']);
  expect(reply.usage.warmedTokens).toBe(0);
  expect(await session.coming(node.url)).toEqual({ turn: 1, warms: false });
});
