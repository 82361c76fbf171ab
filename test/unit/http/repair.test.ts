// Turns handed over for repair, over HTTP: what is told of them, and every way to hand over what is no repair.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

let node: InProcessNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.close());

const id = (digit: string) => digit.repeat(32);
const told = [
  { turn: 1, context_id: id('1'), system: 'Be kind.', prompt: 'I am Ada.', reply: 'Hello Ada.' },
  { turn: 2, context_id: id('2'), prompt: 'I like tea.', reply: '' },
];
const next = { prompt: 'Who am I?', session_id: 's', turn: 3, context_id: id('2'), max_wait_ms: 0 };
const refusal = async (body: object) =>
  (await node.post('/completion', { ...next, session_id: 'r', ...body })).body.error;

it('is told in the reply, in the session and in its export', async () => {
  const reply = await node.turn({ ...next, repair: told });
  expect(reply).toMatchObject({ turn: 3, based_on_turn: 2, repaired_turns: 2, content: 'Turn 3: Who am I?' });
  expect(await node.turn({ ...next, repair: told })).toMatchObject({ replayed: true, context_id: reply.context_id });
  const { turns } = (await node.get('/sessions/s')).body;
  expect(turns).toMatchObject([
    { turn: 1, repairs: id('1'), system: 'Be kind.', user: 'I am Ada.', reply: 'Hello Ada.' },
    { turn: 2, repairs: id('2'), user: 'I like tea.', reply: '' },
    { turn: 3, user: 'Who am I?', context_id: reply.context_id },
  ]);
  expect(turns[2]).not.toHaveProperty('repairs');
  expect((await node.get('/sessions/s/export')).body.turns[0]).toMatchObject({ repairs: id('1') });
  const four = await node.turn({ ...next, turn: 4, context_id: reply.context_id });
  expect(four).not.toHaveProperty('repaired_turns');
});

describe('is refused', () => {
  it.each([
    ['without turn', { turn: undefined }],
    ['without context_id', { context_id: undefined }],
    ['that ends before the turn before', { turn: 4 }],
    ['that ends with another context', { context_id: id('9') }],
    ['with a hole', { repair: [told[0], { ...told[1], turn: 3 }], turn: 4 }],
    ['with a late system message', { repair: [told[0], { ...told[1], system: 'Be rude.' }] }],
    ['of nothing', { repair: [] }],
    ['of too many turns', { repair: Array(33).fill(told[0]) }],
    ['of too much text', { repair: [{ ...told[0], reply: 'x'.repeat(262_145) }, told[1]] }],
    ['of text that is none', { repair: [told[0], { ...told[1], reply: '\ud800' }] }],
    ['of an empty message', { repair: [told[0], { ...told[1], prompt: '' }] }],
    ['with a field that is none', { repair: [told[0], { ...told[1], role: 'user' }] }],
    ['where nothing is kept', { mode: 'client-side' }],
    ['where no turn is taken', { n_predict: 0 }],
  ])('%s', async (_, body) => {
    const error = await refusal({ repair: told, ...body });
    expect(error).toMatchObject({ code: 400, type: 'invalid_request' });
    expect(error.param).toMatch(/^repair/);
  });

  it('where it does not reach back to what is here', async () => {
    const error = await refusal({ repair: told.slice(1) });
    expect(error).toMatchObject({ code: 503, type: 'repair_incomplete', param: 'repair' });
    expect((await node.get('/sessions/r')).status).toBe(404);
  });
});
