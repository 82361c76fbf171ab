import type { InProcessNode } from '../../tools/test-node.ts';

export interface SomeRequests {
  readonly seeds: readonly { readonly at: string; readonly body?: object; readonly headers?: object }[];
  /** Names of fields, and ids of what there is. */
  readonly words: readonly string[];
}

const hello = [{ role: 'user', content: 'Hello.' }];
const tools = [{ type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object' } } }];
const called = [
  ...hello,
  {
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }],
  },
  { role: 'tool', tool_call_id: 'c', content: 'result' },
];

/** One of each operation at least, about sessions and answers that this node has. */
export async function someRequests(node: InProcessNode): Promise<SomeRequests> {
  const first = await node.turn({ prompt: 'one', session_id: 'a' });
  const exported = (await node.get('/sessions/a/export')).body;
  const made = async (path: string, body: object) => (await node.post(path, body)).body;
  const response = await made('/v1/responses', { input: 'one', metadata: { a: 'b' } });
  const chat = await made('/v1/chat/completions', { messages: hello, store: true });
  const conversation = await made('/v1/conversations', { items: hello });
  const items = (await node.get(`/v1/conversations/${conversation.id}/items`)).body.data;
  const compacted = await made('/v1/responses/compact', { previous_response_id: response.id });
  const summary = compacted.output.at(-1)?.encrypted_content;
  const seeds = [
    {
      at: 'POST /completion',
      body: { prompt: 'x', session_id: 'a', turn: 2, n_predict: 4, stop: ['.'], stream: true },
    },
    {
      at: 'POST /completion',
      body: { prompt: 'x', mode: 'raw', system: 's', ttl_seconds: 9, overflow: 'drop-oldest', n_probs: 2 },
    },
    {
      at: 'POST /completion',
      body: { prompt: [1, 'x', 2], mode: 'client-side', json_schema: { type: 'object' }, grammar: 'root ::= "a"' },
    },
    {
      at: 'POST /completion',
      body: {
        prompt: 'x',
        session_id: 'a',
        turn: 2,
        context_id: first.context_id,
        repair: [{ prompt: 'a', reply: 'b' }],
      },
    },
    { at: 'POST /tokenize', body: { content: 'Hello.', add_special: true, parse_special: true, with_pieces: true } },
    { at: 'POST /detokenize', body: { tokens: [1, 2, 3] } },
    { at: 'POST /apply-template', body: { messages: called, tools, add_generation_prompt: true } },
    {
      at: 'POST /v1/chat/completions',
      body: { messages: called, tools, tool_choice: 'auto', n: 2, logprobs: true, top_logprobs: 2 },
    },
    {
      at: 'POST /v1/chat/completions',
      body: {
        messages: hello,
        response_format: { type: 'json_schema', json_schema: { name: 'a', schema: { type: 'object' }, strict: true } },
        stream: true,
        stream_options: { include_usage: true },
      },
    },
    { at: `POST /v1/chat/completions/${chat.id}`, body: { metadata: { a: 'b' } } },
    {
      at: 'POST /v1/completions',
      body: { prompt: ['a', 'b'], max_tokens: 2, logprobs: 1, echo: true, best_of: 1, suffix: null },
    },
    {
      at: 'POST /v1/responses',
      body: {
        input: [{ role: 'user', content: [{ type: 'input_text', text: 'x' }] }],
        previous_response_id: response.id,
        tools: [{ type: 'function', name: 'f', parameters: {} }],
        text: { format: { type: 'text' } },
        reasoning: { effort: 'low' },
        include: ['message.output_text.logprobs'],
        background: true,
      },
    },
    {
      at: 'POST /v1/responses',
      body: {
        input: [
          { type: 'item_reference', id: items[0].id },
          { type: 'compaction', encrypted_content: summary },
          { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' },
          { type: 'function_call_output', call_id: 'c', output: 'x' },
        ],
        conversation: conversation.id,
        stream: true,
      },
    },
    { at: 'POST /v1/responses/input_tokens', body: { input: 'x', instructions: 'y' } },
    { at: 'POST /v1/responses/compact', body: { previous_response_id: response.id, instructions: 'x' } },
    { at: `POST /v1/responses/${response.id}/cancel` },
    { at: 'POST /v1/conversations', body: { items: hello, metadata: { a: 'b' } } },
    { at: `POST /v1/conversations/${conversation.id}`, body: { metadata: { a: 'b' } } },
    { at: `POST /v1/conversations/${conversation.id}/items?include[]=x`, body: { items: hello } },
    { at: 'POST /v1/embeddings', body: { input: ['a', [1, 2]], encoding_format: 'float', dimensions: 4 } },
    {
      at: 'POST /v1/messages',
      body: {
        model: 'scripted',
        max_tokens: 8,
        system: [{ type: 'text', text: 's' }],
        messages: [
          {
            role: 'user',
            content: [
              { type: 'text', text: 'x' },
              { type: 'tool_result', tool_use_id: 't', content: 'r' },
            ],
          },
        ],
        tools: [{ name: 'f', input_schema: { type: 'object' } }],
        stream: true,
      },
    },
    { at: 'POST /v1/messages/count_tokens', body: { messages: hello } },
    { at: 'POST /sessions/a/fork', body: { turn: 1 } },
    { at: 'POST /sessions/a/move?turn=1', body: { model: 'second', session_id: 'b', ttl_seconds: 9, delete: false } },
    { at: 'POST /sessions/import?as=c&ttl_seconds=9', body: exported },
    { at: 'GET /users/anonymous/export' },
    {
      at: 'POST /users/ada/import',
      body: { user_id: 'anonymous', preferences: { tone: 'brief' }, ttl_seconds: 60, sessions: [exported] },
    },
    { at: 'DELETE /users/nobody?max_wait_ms=1' },
    { at: `GET /users/nobody/erasures/${'ab'.repeat(16)}` },
    { at: 'POST /completion', body: { prompt: 'x', session_id: 'a', turn: 2, overflow: 'summarize' } },
    { at: 'POST /completion', body: { prompt: 'x', session_id: 'a', turn: 2, overflow: 'retrieve' } },
    { at: 'POST /sessions/a/cancel', body: {} },
    { at: 'POST /sessions/a/coming', body: {} },
    ...[
      '/sessions?limit=2&after=x&user_id=anonymous',
      '/sessions/a',
      '/sessions/a/export',
      '/health',
      '/props',
      '/slots',
      '/metrics',
      '/nodes',
      '/v1/models',
      '/ready',
    ].map((at) => ({ at: `GET ${at}` })),
    ...[
      `/v1/responses/${response.id}?stream=true&starting_after=1`,
      `/v1/responses/${response.id}/input_items?limit=1&order=asc&after=x`,
      `/v1/chat/completions/${chat.id}/messages?limit=1`,
      `/v1/chat/completions?limit=2&metadata[a]=b`,
      `/v1/conversations/${conversation.id}/items?limit=1`,
      `/v1/conversations/${conversation.id}/items/${items[0].id}`,
    ].map((at) => ({ at: `GET ${at}` })),
    { at: 'OPTIONS /completion', headers: { origin: 'http://a.example', 'access-control-request-method': 'POST' } },
    {
      at: 'HEAD /sessions/a',
      headers: {
        authorization: 'Bearer x',
        'x-api-key': 'y',
        host: 'localhost',
        'x-stainless-retry-count': '1',
        'idempotency-key': 'k',
      },
    },
    {
      at: 'DELETE /sessions/none?user_id=x',
      headers: { 'content-length': '0', expect: '100-continue', 'content-encoding': 'gzip' },
    },
  ];
  const fields = seeds.flatMap(({ body }) => Object.keys(body ?? {}));
  const words = [...fields, 'a', first.context_id, response.id, chat.id, conversation.id, items[0].id, summary];
  return { seeds, words: [...new Set(words)] };
}
