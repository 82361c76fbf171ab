// Lets the node's OpenAPI document be what asks it: for every operation, requests that the document allows and requests that it
// does not, with types, numbers and characters that nobody expects. Whatever is answered must be in the document: its status,
// its content type, its every field. A route added later is asked as well, without a word here.
//
//     DISCEDGE_TEST_REQUESTS=5000 DISCEDGE_TEST_SEED=7 npx vitest run test/unit/http/documented-answers.test.ts
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type InProcessNode, type Json, startTestNode } from '../../../tools/test-node.ts';
import { arbitraryRequests, type DrawnRequest, type KnownValues } from '../../support/arbitrary-requests.ts';
import { resolved, undocumented } from '../../support/documented-answer.ts';

/** Of each operation. */
const REQUESTS = Number(process.env.DISCEDGE_TEST_REQUESTS ?? 80);
const SEED = Number(process.env.DISCEDGE_TEST_SEED ?? 1);
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD'];

let node: InProcessNode;
let paths: Json;
const operations: { path: string; method: string; operation: Json }[] = [];
beforeAll(async () => {
  node = await startTestNode({
    llm: ['first=scripted', 'second=scripted'],
    maxWaitMs: 1,
    replyTokensDefault: 32,
    replyTokensMax: 64,
  });
  paths = resolved((await node.get('/openapi.json')).body);
  for (const [path, methods] of Object.entries<Json>(paths))
    for (const [method, operation] of Object.entries<Json>(methods)) operations.push({ path, method, operation });
});
afterAll(() => node.close());

const CONVERSATIONS = [
  [{ role: 'user', content: 'one' }],
  [
    { role: 'user', content: 'one' },
    { role: 'assistant', content: 'Turn 1: one' },
    { role: 'user', content: 'two' },
  ],
];

/** Operations with fields that others have too, and mean otherwise. */
const OF_RESPONSES = /Response|InputTokens|Conversation/;
const RESPONSE_FIELDS = {
  ...{ metadata: fc.constant({ a: 'b' }), tools: fc.constant([]), tool_choice: fc.constantFrom('auto', 'none') },
  ...{ text: fc.constant({}), reasoning: fc.constant({}), include: fc.constant([]), stream_options: fc.constant({}) },
  ...{ service_tier: fc.constant('auto'), top_logprobs: fc.constant(0), user: fc.constant('anonymous') },
};

/** Sessions of the operation's own, since others are deleted. */
async function knownValues(operationId: string): Promise<KnownValues> {
  const contexts: string[] = [];
  const sessions = Array.from({ length: 8 }, (_, place) => `${operationId}-${place}`);
  for (const session_id of sessions) {
    await node.turn({ prompt: 'one', session_id });
    contexts.push((await node.turn({ prompt: 'two', session_id, turn: 2 })).context_id);
  }
  const exported = (await node.get(`/sessions/${sessions[0]}/export`)).body;
  const { response, responses, completions, conversation, conversations, items } = await openAiValues();
  return {
    response_id: fc.constantFrom(...responses),
    completion_id: fc.constantFrom(...completions),
    previous_response_id: fc.constantFrom('', response),
    conversation_id: fc.constantFrom(...conversations),
    conversation: fc.constantFrom('', conversation),
    item_id: fc.constantFrom(...items),
    ...{ after: fc.constant(''), before: fc.constantFrom('', ...items) },
    ...{ input: fc.constantFrom('one', 'two'), instructions: fc.constant('be brief') },
    items: fc.constant([{ type: 'message', role: 'user', content: 'one' }]),
    ...(OF_RESPONSES.test(operationId) && RESPONSE_FIELDS),
    keygroup: fc.constant(exported.keygroup),
    ...{ turns: fc.constant(exported.turns), branches: fc.constant([]) },
    receipt_id: fc.constant((await node.request('DELETE', '/users/ada')).body.receipt_id),
    session_id: fc.constantFrom(...sessions),
    context_id: fc.constantFrom(...contexts),
    turn: fc.constantFrom(1, 2, 3),
    user_id: fc.constantFrom('', 'anonymous', 'ada'),
    model: operationId === 'moveSession' ? fc.constantFrom('first', 'second') : fc.constantFrom('first', ''),
    prompt: fc.constantFrom('one', 'two', 'three'),
    mode: fc.constantFrom('tokenized', 'client-side'),
    messages: fc.constantFrom(...CONVERSATIONS),
    ...{ logprobs: fc.constant(true), n: fc.constantFrom(1, 2), tools: fc.constant([]) },
    ...{ tool_choice: fc.constant('auto'), response_format: fc.constant({ type: 'text' }) },
  };
}

/** Responses, completions and conversations of the operation's own, for the same reason. */
async function openAiValues() {
  const responses: string[] = [];
  const completions: string[] = [];
  const conversations: string[] = [];
  const items: string[] = [];
  for (let made = 0; made < 8; made++) {
    responses.push((await node.post('/v1/responses', { input: 'one', background: true })).body.id);
    const added = [{ role: 'user', content: 'one' }];
    completions.push((await node.post('/v1/chat/completions', { messages: added })).body.id);
    const { id } = (await node.post('/v1/conversations', { items: added })).body;
    conversations.push(id);
    items.push((await node.get(`/v1/conversations/${id}/items`)).body.data[0].id);
  }
  const { id: response } = (await node.post('/v1/responses', { input: 'one' })).body;
  const { id: conversation } = (await node.post('/v1/conversations', {})).body;
  return { response, responses, completions, conversation, conversations, items };
}

async function ask(method: string, { path, body, headers }: DrawnRequest) {
  return node.request(method.toUpperCase(), path, { headers, ...(body !== undefined && { body }) });
}

/** Whether the client names the fields of the reply: what is left of it the document says in words. */
function asksForPart({ body }: DrawnRequest): boolean {
  try {
    return JSON.parse(String(body)).response_fields?.length > 0;
  } catch {
    return false;
  }
}

it('no operation answers what its document does not say, and each succeeds and refuses', async () => {
  expect(operations.length).toBeGreaterThan(15);
  const outcomes: Record<string, { succeeds: boolean; refuses: boolean }> = {};
  for (const { path, method, operation } of operations) {
    const known = await knownValues(operation.operationId);
    const statuses = new Set<number>();
    await fc.assert(
      fc.asyncProperty(arbitraryRequests(path, operation, known), async (request) => {
        const answer = await ask(method, request);
        statuses.add(answer.status);
        if (answer.status === 200 && asksForPart(request)) return;
        expect(undocumented(operation, answer), `${method} ${path}`).toEqual([]);
      }),
      { numRuns: REQUESTS, seed: SEED },
    );
    const canBeRefused = operation.requestBody !== undefined || operation.parameters !== undefined;
    const refuses = [...statuses].some((status) => status >= 400) || !canBeRefused;
    outcomes[operation.operationId] = { succeeds: statuses.has(200), refuses };
  }
  const all = operations.map(({ operation }) => [operation.operationId, { succeeds: true, refuses: true }]);
  expect(outcomes).toEqual(Object.fromEntries(all));
  expect((await node.get('/health')).status).toBe(200);
}, 600_000);

it('a method that the document does not list is 405, and told those that it does', async () => {
  for (const [path, methods] of Object.entries<Json>(paths)) {
    const listed = Object.keys(methods).map((method) => method.toUpperCase());
    if (listed.includes('GET')) listed.push('HEAD');
    // `/responses/input_tokens` is also a response of that id, which there is not.
    if (Object.keys(paths).some((other) => other !== path && matches(other, path))) continue;
    for (const method of METHODS.filter((one) => !listed.includes(one))) {
      const answer = await node.request(method, path.replace(/\{\w+\}/g, 'x'));
      const allow = (answer.headers.get('allow') ?? '').split(', ').sort();
      expect([answer.status, allow], `${method} ${path}`).toEqual([405, [...listed, 'OPTIONS'].sort()]);
    }
  }
});

/** Whether a path with parameters is also the other one. */
function matches(withParameters: string, path: string): boolean {
  return new RegExp(`^${withParameters.replace(/\{\w+\}/g, '[^/{}]+')}$`).test(path);
}
