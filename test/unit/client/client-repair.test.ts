// A node dies with turns that only it has. The client that kept their words goes on at another node; one that did not is refused;
// one that asks its user does as that says. Real nodes with stores of their own stand for the one that died and the one that lives.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { DiscedgeClient, type LostTurns, type SessionOptions } from '../../../src/client/client.ts';
import { type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

let nodes: InProcessNode[];
beforeEach(async () => {
  nodes = [await startTestNode({ nodeId: 'e1' }), await startTestNode({ nodeId: 'e2' })];
});
afterEach(() => Promise.all(nodes.map((node) => node.close())));

/** Turns taken at e1, which is then gone with them. e2 says of itself that it may lack what others have. */
async function lostSession(options: SessionOptions, turns = 3) {
  const [e1, e2] = nodes as [InProcessNode, InProcessNode];
  const stale = async (input: string, init: RequestInit) => {
    const response = await fetch(input, init);
    // It shares with nobody here, and would otherwise say that there is no such session.
    if (response.status !== 404) return response;
    const error = { code: 503, type: 'context_stale', message: 'not here' };
    return new Response(JSON.stringify({ error }), { status: 503, headers: { 'x-should-retry': 'true' } });
  };
  const client = new DiscedgeClient({ nodes: [e1.url, e2.url], fetch: stale, backoffMs: 1 });
  const session = client.session(options);
  for (let turn = 1; turn <= turns; turn++) await session.send(`turn ${turn}`);
  await e1.close();
  return { client, session };
}

it('hands the lost turns over, and goes on where that is done', async () => {
  const { session } = await lostSession({ repair: 'auto', system: 'Be kind.' });
  const reply = await session.send('turn 4');
  expect(reply).toMatchObject({ turn: 4, text: 'Turn 4: turn 4', node: 'e2', url: nodes[1]?.url, repairedTurns: 3 });
  const history = await session.history();
  expect(history.map(({ user }) => user)).toEqual(['turn 1', 'turn 2', 'turn 3', 'turn 4']);
  expect(history.map(({ repairs }) => repairs === undefined)).toEqual([false, false, false, true]);
  expect(history[0]?.system).toBe('Be kind.');
  expect(await session.send('turn 5')).toMatchObject({ turn: 5, repairedTurns: 0 });
});

it('streams such a turn as any other, and a session from a string repairs too', async () => {
  const { client, session } = await lostSession({ repair: 'auto' });
  const stream = client.restore(session.serialize(), { repair: 'auto' }).stream('turn 4');
  let text = '';
  for await (const piece of stream) text += piece;
  expect(text).toBe('Turn 4: turn 4');
  expect((await stream.reply).repairedTurns).toBe(3);
});

it('fails as before where nobody said that it may', async () => {
  const { session } = await lostSession({});
  await expect(session.send('turn 4')).rejects.toMatchObject({ retry: true });
  expect(session.turn).toBe(3);
});

it('asks, and does as it is told', async () => {
  const answers = [false, true];
  const repair = vi.fn((_: LostTurns) => answers.shift() as boolean);
  const { session } = await lostSession({ repair });
  await expect(session.send('turn 4')).rejects.toMatchObject({ retry: true });
  expect(repair).toHaveBeenLastCalledWith(expect.objectContaining({ turns: 3, node: nodes[1]?.url }));
  expect(await session.send('turn 4')).toMatchObject({ turn: 4, repairedTurns: 3 });
});

it('is refused where more is lost than it remembers, and says so', async () => {
  const { session } = await lostSession({ repair: 'auto' }, 9);
  await expect(session.send('turn 10')).rejects.toMatchObject({
    code: expect.stringMatching(/repair_incomplete|node_unreachable/),
  });
  session.moveTo(nodes[1]?.url as string);
  const error = await session.send('turn 10').catch((thrown) => thrown);
  expect(['repair_incomplete', 'node_unreachable']).toContain(error.code);
  expect(session.turn).toBe(9);
});

it('remembers what it reads back as well', async () => {
  const [e1, e2] = nodes as [InProcessNode, InProcessNode];
  const written = new DiscedgeClient({ nodes: e1.url }).session({ system: 'Be kind.' });
  for (const text of ['turn 1', 'turn 2']) await written.send(text);
  const client = new DiscedgeClient({ nodes: [e1.url, e2.url], backoffMs: 1 });
  const session = await client.resume(written.sessionId, { repair: 'auto' });
  expect(JSON.parse(session.serialize()).remembered).toMatchObject([
    { turn: 1, system: 'Be kind.', prompt: 'turn 1', reply: 'Turn 1: turn 1' },
    { turn: 2, prompt: 'turn 2', reply: 'Turn 2: turn 2' },
  ]);
});

it('remembers within its bound, the newest', async () => {
  const session = new DiscedgeClient({ nodes: nodes[0]?.url as string }).session({ repair: 'auto' });
  for (let turn = 1; turn <= 10; turn++) await session.send('x');
  const turns = () => JSON.parse(session.serialize()).remembered.map(({ turn }: { turn: number }) => turn);
  expect(turns()).toEqual([3, 4, 5, 6, 7, 8, 9, 10]);
  await session.send('x'.repeat(70_000), { maxTokens: 1 });
  expect(turns()).toEqual([]);
  await session.send('x');
  expect(turns()).toEqual([12]);
});
