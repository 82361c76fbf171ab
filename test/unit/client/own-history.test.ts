// A conversation whose history the client keeps: every node it goes to is told all of it and keeps nothing, streamed or not, and a
// reply that fails or is left leaves no half of a turn in it.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DiscedgeClient } from '../../../src/client/client.ts';
import { type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

let nodes: InProcessNode[];
beforeAll(async () => {
  nodes = [await startTestNode({ nodeId: 'e1' }), await startTestNode({ nodeId: 'e2' })];
});
afterAll(() => Promise.all(nodes.map((node) => node.close())));
const clientOf = (options: object = {}) =>
  new DiscedgeClient({ nodes: nodes.map(({ url }) => url), userId: 'ada', backoffMs: 1, ...options });

it('goes on at any node, whole or streamed, and later from its messages', async () => {
  const history = clientOf().ownHistory({ messages: [{ role: 'system', content: 'Be brief.' }] });
  const first = await history.send('one');
  expect(first).toMatchObject({ text: 'Turn 1: one', url: nodes[0]?.url, model: 'scripted', stopType: 'eos' });
  history.moveTo(nodes[1]?.url as string);
  const stream = history.stream('two', { maxTokens: 8 });
  let text = '';
  for await (const piece of stream) text += piece;
  expect(await stream.reply).toMatchObject({
    text,
    url: nodes[1]?.url,
    stopType: 'limit',
    usage: { predictedTokens: 8 },
  });
  const later = clientOf().ownHistory({ messages: JSON.parse(JSON.stringify(history.messages)) });
  expect((await later.send('three')).text).toBe('Turn 3: three');
  expect(later.messages.map(({ role }) => role)).toEqual(['system', ...Array(3).fill(['user', 'assistant']).flat()]);
  for (const node of nodes) expect((await node.get('/sessions?user_id=ada')).body.data).toEqual([]);
});

it('is as it was after a turn that failed, was given up, or is still under way', async () => {
  const history = clientOf().ownHistory();
  await expect(history.send('x', { temperature: 9 })).rejects.toMatchObject({ name: 'DiscedgeClientError' });
  await expect(history.send('x', { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  for await (const _ of history.stream('left')) break;
  expect(history.messages.length % 2).toBe(0);
  const before = history.messages.length;
  const sent = history.send('one');
  await expect(history.send('two')).rejects.toMatchObject({ code: 'session_in_use' });
  await sent;
  expect(history.messages).toHaveLength(before + 2);
});

it('reads errors in the form of the API it asks by their own codes', async () => {
  const refused = clientOf()
    .ownHistory({ turnOptions: { temperature: 9 } })
    .send('hi');
  await expect(refused).rejects.toMatchObject({
    code: 'invalid_request',
    status: 400,
    param: 'temperature',
    retry: false,
  });
});
