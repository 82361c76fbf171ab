// What somebody writes who has a stock generator make types of /openapi.json: every operation once, its answer used as its
// type says. Compiled with the generated `api.ts` beside it, and run with the node's URL.
import createClient from 'openapi-fetch';
import type { components, operations, paths } from './api.ts';

type Content<Operation> = Operation extends { responses: { 200: { content: infer Types } } }
  ? Types[keyof Types]
  : never;
type IsUntyped<Type> = [Type] extends [never] ? true : unknown extends Type ? true : false;
/** Operations whose success a client could not use. */
type Untyped = { [Name in keyof operations]: IsUntyped<Content<operations[Name]>> extends true ? Name : never };
const untyped: [Untyped[keyof operations]] extends [never] ? [] : never = [];

const url = process.argv[2] as string;
const client = createClient<paths>({ baseUrl: url });
const session_id = 'generated-client';
const path = { session_id };

/** The answer, which must not be an error. */
function ok<Answer>({ data, error }: { data?: Answer; error?: unknown }): Answer {
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
}

type Response = components['schemas']['Response'];
let completion_id = '';
let response_id = '';
let conversation_id = '';
let item_id = '';
let erasure: components['schemas']['ErasureReceipt'] | undefined;

/** A response that was not asked for as a stream is whole. */
function response(answer: { data?: unknown; error?: unknown }): Response {
  return ok(answer) as Response;
}

async function streamed(body: components['schemas']['CompletionRequest']): Promise<string> {
  const { data } = await client.POST('/completion', { body: { ...body, stream: true }, parseAs: 'text' });
  const events = String(data)
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event): components['schemas']['CompletionEvent'] => JSON.parse(event.slice('data: '.length)));
  let text = '';
  for (const event of events) {
    if (!('content' in event)) throw new Error(`${event.error.type}: ${event.error.message}`);
    text += event.content;
  }
  return text;
}

/** In this order. One that is missing here, or no longer there, does not compile. */
const uses: { [Name in keyof operations]: () => Promise<unknown> } = {
  health: async () => ok(await client.GET('/health')).status satisfies 'ok',
  healthUnderV1: async () => ok(await client.GET('/v1/health')).status,
  ready: async () => ok(await client.GET('/ready')).models.length,
  props: async () => ok(await client.GET('/props')).default_generation_settings.n_ctx > 0,
  listModels: async () => ok(await client.GET('/v1/models')).data.map(({ meta }) => meta.n_ctx > 0),
  retrieveModel: async () =>
    ok(await client.GET('/v1/models/{model}', { params: { path: { model: 'scripted' } } })).meta.n_ctx > 0,
  createChatCompletion: async () => {
    const body = { messages: [{ role: 'user' as const, content: 'hi' }], user: 'ada' };
    const reply = ok(await client.POST('/v1/chat/completions', { body }));
    return (reply as components['schemas']['ChatCompletion']).choices.map(({ message }) => message.content);
  },
  retrieveChatCompletion: async () => {
    const body = { messages: [{ role: 'user' as const, content: 'hi' }], user: 'grace' };
    const made = ok(await client.POST('/v1/chat/completions', { body }));
    completion_id = (made as components['schemas']['ChatCompletion']).id;
    const path = { completion_id };
    return ok(await client.GET('/v1/chat/completions/{completion_id}', { params: { path } })).id === completion_id;
  },
  updateChatCompletion: async () => {
    const params = { path: { completion_id } };
    return ok(await client.POST('/v1/chat/completions/{completion_id}', { params, body: { metadata: { of: 'ada' } } }))
      .metadata;
  },
  listChatMessages: async () => {
    const params = { path: { completion_id } };
    return ok(await client.GET('/v1/chat/completions/{completion_id}/messages', { params })).data.map(
      ({ role }) => role,
    );
  },
  deleteChatCompletion: async () => {
    const params = { path: { completion_id } };
    return ok(await client.DELETE('/v1/chat/completions/{completion_id}', { params })).deleted;
  },
  createCompletion: async () => {
    const reply = ok(await client.POST('/v1/completions', { body: { prompt: 'hi', max_tokens: 2 } }));
    return (reply as components['schemas']['PlainCompletion']).choices.map(({ finish_reason }) => finish_reason);
  },
  createResponse: async () => {
    const first = response(await client.POST('/v1/responses', { body: { input: 'hi', user: 'grace' } }));
    const body = { input: 'again', previous_response_id: first.id, user: 'grace' };
    const second = response(await client.POST('/v1/responses', { body }));
    response_id = second.id;
    return [first.status, second.previous_response_id === first.id];
  },
  retrieveResponse: async () =>
    ok(await client.GET('/v1/responses/{response_id}', { params: { path: { response_id } } })).id === response_id,
  listInputItems: async () =>
    ok(await client.GET('/v1/responses/{response_id}/input_items', { params: { path: { response_id } } })).data.length,
  cancelResponse: async () => {
    const { response: answer } = await client.POST('/v1/responses/{response_id}/cancel', {
      params: { path: { response_id } },
    });
    return answer.status;
  },
  deleteResponse: async () =>
    ok(await client.DELETE('/v1/responses/{response_id}', { params: { path: { response_id } } })).deleted,
  countInputTokens: async () =>
    ok(await client.POST('/v1/responses/input_tokens', { body: { input: 'hi' } })).input_tokens > 0,
  compactConversation: async () =>
    ok(await client.POST('/v1/responses/compact', { body: { input: 'hi' } })).output.map(({ type }) => type),
  createConversation: async () => {
    const items = [{ type: 'message' as const, role: 'user' as const, content: 'hi' }];
    const conversation = ok(await client.POST('/v1/conversations', { body: { items, metadata: { of: 'ada' } } }));
    conversation_id = conversation.id;
    return conversation.metadata;
  },
  retrieveConversation: async () =>
    ok(await client.GET('/v1/conversations/{conversation_id}', { params: { path: { conversation_id } } })).metadata,
  updateConversation: async () =>
    ok(
      await client.POST('/v1/conversations/{conversation_id}', {
        params: { path: { conversation_id } },
        body: { metadata: { of: 'grace' } },
      }),
    ).metadata,
  addItems: async () => {
    const { data } = ok(
      await client.POST('/v1/conversations/{conversation_id}/items', {
        params: { path: { conversation_id } },
        body: { items: [{ type: 'message', role: 'user', content: 'more' }] },
      }),
    );
    item_id = (data[0] as { id: string }).id;
    return data.length;
  },
  listItems: async () =>
    ok(await client.GET('/v1/conversations/{conversation_id}/items', { params: { path: { conversation_id } } })).data
      .length,
  retrieveItem: async () => {
    const params = { path: { conversation_id, item_id } };
    return ok(await client.GET('/v1/conversations/{conversation_id}/items/{item_id}', { params })).type;
  },
  deleteItem: async () => {
    const params = { path: { conversation_id, item_id } };
    return (
      ok(await client.DELETE('/v1/conversations/{conversation_id}/items/{item_id}', { params })).id === conversation_id
    );
  },
  deleteConversation: async () =>
    ok(await client.DELETE('/v1/conversations/{conversation_id}', { params: { path: { conversation_id } } })).deleted,
  createEmbeddings: async () =>
    ok(await client.POST('/v1/embeddings', { body: { input: 'hi' } })).data.map(
      ({ embedding }) => embedding.length > 0,
    ),
  createAnthropicMessage: async () => {
    const messages = [{ role: 'user' as const, content: 'hi' }];
    const body = { model: 'scripted', max_tokens: 4, messages, metadata: { user_id: 'grace' } };
    const reply = ok(await client.POST('/v1/messages', { body }));
    return (reply as components['schemas']['AnthropicMessageReply']).stop_reason;
  },
  countAnthropicTokens: async () => {
    const messages = [{ role: 'user' as const, content: 'hi' }];
    return (
      ok(await client.POST('/v1/messages/count_tokens', { body: { model: 'scripted', messages } })).input_tokens > 0
    );
  },
  listModelsAtRoot: async () => ok(await client.GET('/models')).data.length,
  listSlots: async () => ok(await client.GET('/slots')).every(({ is_processing }) => !is_processing),
  metrics: async () => ok(await client.GET('/metrics', { parseAs: 'text' })).includes('discedge_'),
  listNodes: async () =>
    ok(await client.GET('/nodes', { params: { query: { probe: false } } })).nodes.map(({ state }) => state),
  takeTurn: async () => {
    const reply = ok(await client.POST('/completion', { body: { prompt: 'one', session_id, turn: 1 } }));
    if (!('timings' in reply)) throw new Error('a reply that was not asked for as a stream is whole');
    const { context_id, timings } = reply as components['schemas']['Completion'];
    return [typeof context_id, timings.predicted_n > 0, await streamed({ prompt: 'two', session_id, turn: 2 })];
  },
  takeTurnAtCompletions: async () => {
    const { error, response } = await client.POST('/completions', { body: { prompt: 'x', session_id, turn: 9 } });
    return [response.status, error?.error.type, response.headers.get('x-should-retry')];
  },
  tokenize: async () => ok(await client.POST('/tokenize', { body: { content: 'ab' } })).tokens,
  detokenize: async () => ok(await client.POST('/detokenize', { body: { tokens: [97, 98] } })).content,
  applyTemplate: async () =>
    ok(await client.POST('/apply-template', { body: { messages: [{ role: 'user', content: 'hi' }] } })).prompt.includes(
      'hi',
    ),
  listSessions: async () => ok(await client.GET('/sessions')).data.map((summary) => summary.turns),
  showSession: async () =>
    ok(await client.GET('/sessions/{session_id}', { params: { path, query: { turn: 2 } } })).turns.map(
      ({ user }) => user,
    ),
  exportSession: async () =>
    ok(await client.GET('/sessions/{session_id}/export', { params: { path } })).turns.map(
      ({ reply_ids }) => (reply_ids?.length ?? 0) > 0,
    ),
  importSession: async () => {
    const { keygroup, turns } = ok(await client.GET('/sessions/{session_id}/export', { params: { path } }));
    const body = { keygroup, session_id: 'imported', turns };
    return ok(await client.POST('/sessions/import', { body })).turns;
  },
  exportUser: async () => {
    const params = { path: { user_id: 'anonymous' } };
    return ok(await client.GET('/users/{user_id}/export', { params })).sessions.length > 0;
  },
  importUser: async () => {
    const { preferences, sessions } = ok(
      await client.GET('/users/{user_id}/export', { params: { path: { user_id: 'anonymous' } } }),
    );
    const params = { path: { user_id: 'taken-in' } };
    const told = ok(await client.POST('/users/{user_id}/import', { params, body: { preferences, sessions } }));
    return told.refused === 0 && told.sessions.every(({ state }) => state === 'imported');
  },
  forkSession: async () =>
    ok(await client.POST('/sessions/{session_id}/fork', { params: { path }, body: { turn: 1 } })).forked_from.turn,
  // The node serves one model: it says that there is no other.
  moveSession: async () =>
    (await client.POST('/sessions/{session_id}/move', { params: { path }, body: { model: 'demo' } })).response.status,
  cancelTurn: async () => ok(await client.POST('/sessions/{session_id}/cancel', { params: { path } })).cancelled,
  sayComing: async () => ok(await client.POST('/sessions/{session_id}/coming', { params: { path } })).turn,
  deleteSession: async () => ok(await client.DELETE('/sessions/{session_id}', { params: { path } })).deleted,
  eraseUser: async () => {
    const params = { path: { user_id: 'erased' } };
    erasure = ok(await client.DELETE('/users/{user_id}', { params }));
    return [erasure.user_id, erasure.nodes.length];
  },
  showErasure: async () => {
    const params = { path: { user_id: 'erased', receipt_id: erasure?.receipt_id ?? '' } };
    return ok(await client.GET('/users/{user_id}/erasures/{receipt_id}', { params })).user_id;
  },
  setLifetime: async () => {
    const params = { path: { user_id: 'ada' } };
    return ok(await client.PUT('/users/{user_id}/lifetime', { params, body: { ttl_seconds: 60 } })).ttl_seconds;
  },
  showLifetime: async () => {
    const params = { path: { user_id: 'ada' } };
    return ok(await client.GET('/users/{user_id}/lifetime', { params })).ttl_seconds;
  },
  clearLifetime: async () => {
    const params = { path: { user_id: 'ada' } };
    return ok(await client.DELETE('/users/{user_id}/lifetime', { params })).ttl_seconds;
  },
  showPreferences: async () => {
    const params = { path: { user_id: 'ada' } };
    return ok(await client.GET('/users/{user_id}/preferences', { params })).version;
  },
  setPreferences: async () => {
    const params = { path: { user_id: 'ada' } };
    const body = { preferences: { tone: 'brief' }, version: 0 };
    return ok(await client.PUT('/users/{user_id}/preferences', { params, body })).preferences;
  },
  clearPreferences: async () => {
    const params = { path: { user_id: 'ada' }, query: { version: 1 } };
    return ok(await client.DELETE('/users/{user_id}/preferences', { params })).preferences === null;
  },
};

// @ts-expect-error a fork needs its place
export const placeless: components['schemas']['ForkRequest'] = {};

const answers: Record<string, unknown> = {};
for (const [name, use] of Object.entries(uses)) answers[name] = await use();
console.log(JSON.stringify({ untyped, answers }));
