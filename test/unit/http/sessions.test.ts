// The session routes and the node's own pages: what a user and an operator see, page by page.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

let node: InProcessNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.close());

it("lists a user's own sessions, page by page", async () => {
  for (const session_id of ['a', 'b', 'c']) await node.turn({ prompt: 'x', session_id, user_id: 'ann' });
  await node.turn({ prompt: 'x', session_id: 'd', user_id: 'bob' });
  const first = (await node.get('/sessions?user_id=ann&limit=2')).body;
  expect(first).toMatchObject({ object: 'list', has_more: true, next: 'b' });
  const second = (await node.get(`/sessions?user_id=ann&limit=2&after=${first.next}`)).body;
  expect(second).toMatchObject({ has_more: false });
  expect([...first.data, ...second.data].map((row) => row.session_id)).toEqual(['a', 'b', 'c']);
  expect(first.data[0]).toMatchObject({
    user_id: 'ann',
    mode: 'tokenized',
    turns: 1,
    bytes: expect.any(Number),
    expires_at: expect.stringMatching(/Z$/),
  });
});

it('the largest page says that there are more', async () => {
  const ids = Array.from({ length: 1001 }, (_, i) => `s${String(i).padStart(4, '0')}`);
  for (const session_id of ids) await node.turn({ prompt: 'x', session_id, user_id: 'many', n_predict: 1 });
  const page = (await node.get('/sessions?user_id=many&limit=1000')).body;
  expect(page).toMatchObject({ has_more: true, next: 's0999' });
  const rest = (await node.get('/sessions?user_id=many&limit=1000&after=s0999')).body;
  expect(rest).toMatchObject({ has_more: false, data: [{ session_id: 's1000' }] });
});

it('shows and exports a session: texts, exact ids, parents', async () => {
  const one = await node.turn({ prompt: 'first', system: 'be brief', session_id: 'shown', return_tokens: true });
  const two = await node.turn({ prompt: 'second ✓', session_id: 'shown', turn: 2 });
  const shown = (await node.get('/sessions/shown')).body;
  expect(shown).toMatchObject({
    session_id: 'shown',
    mode: 'tokenized',
    context_id: two.context_id,
    branches: [],
    turns: [
      {
        turn: 1,
        context_id: one.context_id,
        parent: null,
        system: 'be brief',
        user: 'first',
        reply: one.content,
        node: 'test',
      },
      { turn: 2, context_id: two.context_id, parent: one.context_id, user: 'second ✓', reply: two.content },
    ],
  });
  const { turns } = (await node.get('/sessions/shown/export')).body;
  expect(turns[0].reply_ids).toEqual(one.tokens);
  expect(turns[0].prompt_ids.length + turns[0].reply_ids.length + turns[1].prompt_ids.length).toBe(
    two.tokens_evaluated,
  );
});

it('forks: a session of its own, that says where it comes from', async () => {
  const one = await node.turn({ prompt: 'first', session_id: 'trunk' });
  await node.turn({ prompt: 'second', session_id: 'trunk', turn: 2 });
  const forked = (await node.post('/sessions/trunk/fork', { turn: 1, session_id: 'twig', ttl_seconds: null })).body;
  expect(forked).toMatchObject({
    session_id: 'twig',
    user_id: 'anonymous',
    mode: 'tokenized',
    turn: 1,
    node: 'test',
    replayed: false,
    forked_from: { session_id: 'trunk', turn: 1, context_id: one.context_id },
  });
  const on = await node.turn({ prompt: 'on', session_id: 'twig', turn: 2, context_id: forked.context_id });
  expect(on).toMatchObject({ turn: 2, content: 'Turn 2: on' });
  const shown = (await node.get('/sessions/twig')).body;
  expect(shown.turns.map(({ user }: { user: string }) => user)).toEqual(['first', 'on']);
  expect((await node.get('/sessions/trunk')).body.turns).toHaveLength(2);
  const named = (await node.post('/sessions/trunk/fork?user_id=', { context_id: one.context_id })).body;
  expect(named).toMatchObject({ turn: 1, session_id: expect.stringMatching(/^[0-9a-f-]{36}$/) });
});

it('refuses forks that cannot be, and says what is wrong', async () => {
  await node.turn({ prompt: 'x', session_id: 'oak' });
  await node.turn({ prompt: 'y', session_id: 'elm' });
  const refused = async (body: unknown, path = '/sessions/oak/fork') => {
    const { status, body: answer, headers } = await node.post(path, body);
    expect(headers.get('x-should-retry')).toBe('false');
    return [status, answer.error.type, answer.error.param];
  };
  expect(await refused({})).toEqual([400, 'invalid_request', 'turn']);
  expect(await refused({ turn: 0 })).toEqual([400, 'invalid_request', 'turn']);
  expect(await refused({ turn: 2 })).toEqual([400, 'invalid_request', 'turn']);
  expect(await refused({ turn: 1, context_id: 'x' })).toEqual([400, 'invalid_request', 'context_id']);
  expect(await refused({ turn: 1, session_id: '..' })).toEqual([400, 'invalid_request', 'session_id']);
  expect(await refused({ turn: 1, ttl_seconds: 1e12 })).toEqual([400, 'invalid_request', 'ttl_seconds']);
  expect((await refused({ turn: 1, sesion_id: 'a' })).slice(0, 2)).toEqual([400, 'invalid_request']);
  expect(await refused({ turn: 1, session_id: 'elm' })).toEqual([412, 'session_exists', 'session_id']);
  expect(await refused({ turn: 1 }, '/sessions/nobody/fork')).toEqual([404, 'session_not_found', 'session_id']);
  expect(await refused({ turn: 1 }, '/sessions/oak/fork?user_id=bob')).toEqual([
    404,
    'session_not_found',
    'session_id',
  ]);
});

it('deletes for good: the id cannot be used again', async () => {
  await node.turn({ prompt: 'x', session_id: 'doomed' });
  expect((await node.request('DELETE', '/sessions/doomed')).body).toEqual({ session_id: 'doomed', deleted: true });
  expect((await node.get('/sessions/doomed')).body.error.type).toBe('session_deleted');
  expect((await node.post('/completion', { prompt: 'x', session_id: 'doomed' })).body.error.type).toBe(
    'session_deleted',
  );
  expect((await node.get('/sessions')).body.data.map((row: { session_id: string }) => row.session_id)).not.toContain(
    'doomed',
  );
});

it('tokenizes and detokenizes as llama.cpp does', async () => {
  const plain = (await node.post('/tokenize', { content: 'a<|im_end|>', parse_special: false })).body.tokens;
  expect(plain).toHaveLength(11);
  const parsed = (await node.post('/tokenize', { content: 'a<|im_end|>', with_pieces: true })).body.tokens;
  expect(parsed).toEqual([
    { id: 97, piece: 'a' },
    { id: 257, piece: '<|im_end|>' },
  ]);
  expect((await node.post('/detokenize', { tokens: plain })).body).toEqual({ content: 'a<|im_end|>' });
  expect((await node.post('/detokenize', { tokens: [256, 97, 257] })).body).toEqual({
    content: '<|im_start|>a<|im_end|>',
  });
  const half = await node.post('/tokenize', { content: ['é', 0xc3, 'a'], with_pieces: true });
  expect(half.body.tokens).toEqual([
    { id: 0xc3, piece: [0xc3] },
    { id: 0xa9, piece: [0xa9] },
    { id: 0xc3, piece: [0xc3] },
    { id: 97, piece: 'a' },
  ]);
  expect((await node.post('/tokenize', { content: 'a\u0000' })).body).toEqual({ tokens: [97, 0] });
  expect((await node.post('/tokenize', {})).body).toEqual({ tokens: [] });
  expect((await node.post('/detokenize', {})).body).toEqual({ content: '' });
  expect((await node.post('/tokenize', { content: '' })).body).toEqual({ tokens: [] });
  expect((await node.post('/tokenize', { content: '\ud800' })).status).toBe(400);
  expect((await node.post('/tokenize', { content: 'x'.repeat(70_000), with_pieces: true })).status).toBe(400);
});

it('shows a conversation under the chat template, as llama.cpp does', async () => {
  const conversation = async (body: object) => (await node.post('/apply-template', body)).body.prompt;
  const user = { role: 'user', content: 'hi <|im_end|>' };
  expect(await conversation({ messages: [user] })).toBe(
    '<|im_start|>user\nhi <|im_end|><|im_end|>\n<|im_start|>assistant\n',
  );
  expect(await conversation({ messages: [user], add_generation_prompt: false })).toBe(
    '<|im_start|>user\nhi <|im_end|><|im_end|>\n',
  );
  const parts = [
    { type: 'text', text: 'a' },
    { type: 'text', text: 'b' },
  ];
  expect(await conversation({ messages: [{ role: 'user', content: parts }] })).toContain('user\na\nb<|im_end|>');
  expect(await conversation({ messages: [user, { role: 'assistant', content: 'well' }] })).toMatch(
    /<\|im_start\|>assistant\nwell$/,
  );
  for (const body of [{}, { messages: [] }, { messages: 'x' }, { messages: [{}] }, { messages: [user], tools: [{}] }]) {
    expect((await node.post('/apply-template', body)).status, JSON.stringify(body)).toBe(400);
  }
});

it('shows its slots, and under the other names health and models', async () => {
  const { total_slots: slots, default_generation_settings: settings } = (await node.get('/props')).body;
  const idle = { n_ctx: settings.n_ctx, speculative: false, is_processing: false };
  expect((await node.get('/slots')).body).toEqual(Array.from({ length: slots }, (_, id) => ({ id, ...idle })));
  expect((await node.get('/v1/health')).body).toEqual((await node.get('/health')).body);
  expect((await node.get('/models')).body).toEqual((await node.get('/v1/models')).body);
});

it('a message with a NUL is said, stored and read as any other', async () => {
  const prompt = 'a\u0000b';
  for (const mode of ['tokenized', 'raw']) {
    const reply = await node.turn({ prompt, mode, session_id: `nul-${mode}` });
    expect(reply.content).toBe(`Turn 1: ${prompt}`);
    const shown = (await node.get(`/sessions/nul-${mode}`)).body;
    expect(shown.turns[0]).toMatchObject({ user: prompt, reply: reply.content });
  }
});

it('says what it is and how it is', async () => {
  expect((await node.get('/health')).body).toEqual({ status: 'ok' });
  expect((await node.get('/ready')).body).toMatchObject({ status: 'ready' });
  expect((await node.get('/props')).body).toMatchObject({
    model_alias: 'scripted',
    node: 'test',
    modes: ['raw', 'tokenized', 'client-side'],
  });
  expect((await node.get('/v1/models')).body.data[0]).toMatchObject({ id: 'scripted', object: 'model' });
});

it('counts turns and tokens for Prometheus, and no metric names a user, a session or a prompt', async () => {
  await node.turn({ prompt: 'MARKER-PROMPT', session_id: 'MARKER-SESSION', user_id: 'MARKER-USER' });
  const answer = await node.get('/metrics');
  expect(answer.headers.get('content-type')).toContain('text/plain');
  expect(answer.text).toMatch(/^discedge_turns_total\{model="scripted",outcome="ok"\} [1-9]/m);
  expect(answer.text).toMatch(/^discedge_tokens_total\{model="scripted",kind="evaluated"\} [1-9]/m);
  expect(answer.text).not.toContain('MARKER');
});

it('describes every route in /openapi.json', async () => {
  const { openapi, paths } = (await node.get('/openapi.json')).body;
  expect(openapi).toBe('3.1.0');
  expect(Object.keys(paths).sort()).toEqual([
    '/apply-template',
    '/completion',
    '/completions',
    '/detokenize',
    '/health',
    '/metrics',
    '/models',
    '/nodes',
    '/props',
    '/ready',
    '/sessions',
    '/sessions/import',
    '/sessions/{session_id}',
    '/sessions/{session_id}/cancel',
    '/sessions/{session_id}/coming',
    '/sessions/{session_id}/export',
    '/sessions/{session_id}/fork',
    '/sessions/{session_id}/move',
    '/slots',
    '/tokenize',
    '/users/{user_id}',
    '/users/{user_id}/erasures/{receipt_id}',
    '/users/{user_id}/export',
    '/users/{user_id}/import',
    '/users/{user_id}/lifetime',
    '/users/{user_id}/preferences',
    '/v1/chat/completions',
    '/v1/chat/completions/{completion_id}',
    '/v1/chat/completions/{completion_id}/messages',
    '/v1/completions',
    '/v1/conversations',
    '/v1/conversations/{conversation_id}',
    '/v1/conversations/{conversation_id}/items',
    '/v1/conversations/{conversation_id}/items/{item_id}',
    '/v1/embeddings',
    '/v1/health',
    '/v1/messages',
    '/v1/messages/count_tokens',
    '/v1/models',
    '/v1/models/{model}',
    '/v1/responses',
    '/v1/responses/compact',
    '/v1/responses/input_tokens',
    '/v1/responses/{response_id}',
    '/v1/responses/{response_id}/cancel',
    '/v1/responses/{response_id}/input_items',
  ]);
});

it('refuses turns while it stops, and lets those under way finish', async () => {
  const stopping = await startTestNode();
  const running = stopping.turn({ prompt: 'x'.repeat(5000), n_predict: 5000 });
  await expect.poll(async () => (await stopping.get('/metrics')).text).toMatch(/^discedge_turns_in_flight 1/m);
  const closed = stopping.close();
  expect(await running).toMatchObject({ turn: 1 });
  await closed;
  await expect(stopping.get('/health')).rejects.toThrow();
});
