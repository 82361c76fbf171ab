/**
 * Many users with texts that nobody else has; then every operation of the OpenAPI document is asked by users with all ids of another,
 * as they are and written otherwise, and every user tries each id of every other. Nothing of anybody's may come back to anybody else,
 * nor stand in the log or in the metrics, and nothing of anybody's may be gone afterwards. An operation that is added must say here
 * how it is attacked.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { KeyFolder } from '../../src/access/key-folder.ts';
import { newKey } from '../../tools/new-key.ts';
import { type NodeProcess, startNodeProcess, temporaryFolder } from '../../tools/node-process.ts';
import type { Answer, Json } from '../../tools/test-node.ts';

const USERS = 64;
const ROLES = [
  ...([
    'prompt',
    'system',
    'reply',
    'metadata',
    'item',
    'tool',
    'history',
    'preferences',
    'summary',
    'export',
  ] as const),
];
/** One id a byte: what the users say fits, and a text that is not short is soon too long with what came before it. */
const WINDOW = 4096;

/** A template that has tools, their calls and results. */
const WITH_TOOLS = fileURLToPath(new URL('../support/chat-templates/qwen2-5.jinja', import.meta.url));

interface User {
  readonly name: string;
  readonly key: string;
  /** What only this user has said: a word for each place that it was said in. */
  readonly canary: (role: (typeof ROLES)[number]) => string;
  readonly session: string;
  readonly context: string;
  readonly completion: string;
  readonly response: string;
  readonly inputItem: string;
  readonly outputItem: string;
  readonly conversation: string;
  readonly conversationItem: string;
  readonly summary: string;
}

const folder = temporaryFolder();
const logged: string[] = [];
let operator: string;
let node: NodeProcess;
let users: readonly User[];

beforeAll(async () => {
  const keys = new KeyFolder(join(folder.path, 'keys'));
  const named = await Promise.all(
    Array.from({ length: USERS }, async (_, place) => {
      const name = `user-${place}`;
      return { name, key: (await newKey(keys, { user: name })).text };
    }),
  );
  operator = (await newKey(keys, { scopes: ['operator'] })).text;
  node = await startNodeProcess(
    [
      '--llm',
      'scripted',
      '--store',
      'memory',
      '--keys-dir',
      keys.path,
      '--log-level',
      'debug',
      '--chat-template-file',
      WITH_TOOLS,
      '--context-tokens',
      `${WINDOW}`,
    ],
    { onLine: (line) => logged.push(line) },
  );
  users = await Promise.all(named.map(prepared));
});
afterAll(async () => {
  await node.process.stop();
  folder.remove();
});

function ask(method: string, path: string, key: string, body?: object): Promise<Answer> {
  const headers = { authorization: `Bearer ${key}`, ...(body && { 'content-type': 'application/json' }) };
  return node.request(method, path, { headers, ...(body && { body: JSON.stringify(body) }) });
}

async function must(method: string, path: string, key: string, body?: object): Promise<Json> {
  const answer = await ask(method, path, key, body);
  if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
  return answer.body;
}

/** A user that has said something at every place where something can be said. */
async function prepared({ name, key }: { name: string; key: string }): Promise<User> {
  const secret = randomBytes(6).toString('hex');
  const canary: User['canary'] = (role) => `canary${ROLES.indexOf(role)}${secret}`;
  const session = `session of ${name}`;
  const post = (path: string, body: object) => must('POST', path, key, body);
  await must('PUT', `/users/${name}/preferences`, key, { preferences: canary('preferences') });
  const first = await post('/completion', {
    ...{ session_id: session, turn: 1, system: canary('system'), prompt: `My name is ${canary('reply')}.` },
  });
  await post('/completion', { session_id: session, turn: 2, prompt: canary('prompt') });
  const completion = await post('/v1/chat/completions', {
    ...{ messages: [{ role: 'user', content: canary('history') }], store: true },
    metadata: { note: canary('metadata') },
  });
  await post('/v1/chat/completions', {
    ...{
      messages: afterCall(canary('tool')),
      tools: [{ type: 'function', function: { name: 'look_up' } }],
      store: true,
    },
  });
  await post('/v1/responses', { input: [...hello, ...callItems(canary('tool'))] });
  const response = await post('/v1/responses', { input: canary('item'), metadata: { note: canary('metadata') } });
  const input = await must('GET', `/v1/responses/${response.id}/input_items`, key);
  const conversation = await post('/v1/conversations', {
    metadata: { note: canary('metadata') },
    items: [{ role: 'user', content: canary('item') }],
  });
  const items = await must('GET', `/v1/conversations/${conversation.id}/items`, key);
  const compacted = await post('/v1/responses/compact', { previous_response_id: response.id });
  for (let turn = 1; turn <= 3; turn++) {
    const prompt = `${turn === 1 ? canary('summary') : ''} ${'and so on '.repeat(WINDOW / 29)}`;
    const summed = { session_id: `long ${session}`, turn, prompt, n_predict: 16, overflow: 'summarize' };
    const { summarized_turns } = await post('/completion', summed);
    expect(summarized_turns ?? 0, `turn ${turn}`).toBe(turn === 3 ? 2 : 0);
  }
  await post('/completion', { session_id: `from ${session}`, turn: 1, prompt: canary('export') });
  const exported = await must('GET', `/sessions/${encodeURIComponent(`from ${session}`)}/export`, key);
  await post(`/sessions/import?as=${encodeURIComponent(`to ${session}`)}`, exported);
  return {
    ...{ name, key, canary, session },
    context: first.context_id,
    completion: completion.id,
    response: response.id,
    inputItem: input.data[0].id,
    outputItem: response.output[0].id,
    conversation: conversation.id,
    conversationItem: items.data[0].id,
    summary: compacted.output.find(({ type }: Json) => type === 'compaction').encrypted_content,
  };
}

type Victim = User;
const hello = [{ role: 'user', content: 'Hello.' }];
const look = { name: 'look_up', arguments: '{"what":"it"}' };

/** What a tool has told a user's model, in both forms. */
function afterCall(told: string): readonly object[] {
  const tool_calls = [
    { id: 'call', type: 'function', function: { ...look, arguments: JSON.stringify({ what: told }) } },
  ];
  return [
    ...hello,
    { role: 'assistant', content: null, tool_calls },
    { role: 'tool', tool_call_id: 'call', content: told },
  ];
}
const callItems = (told: string) => [
  { type: 'function_call', call_id: 'call', ...look },
  { type: 'function_call_output', call_id: 'call', output: told },
];

/** What is sent to an operation that takes a body, with everything that is the victim's in it. */
const BODIES: Readonly<Record<string, (victim: Victim) => readonly object[]>> = {
  forkSession: ({ context }) => [{ turn: 1 }, { context_id: context }],
  moveSession: ({ session }) => [{ model: 'other' }, { model: 'other', session_id: session }],
  cancelTurn: () => [{}],
  importSession: ({ session }) => [
    { keygroup: '0'.repeat(16), session_id: session, turns: [{ context_id: '', record: 'AAAA' }] },
  ],
  importUser: ({ session }) => [
    { sessions: [], preferences: 'taken over' },
    { sessions: [{ keygroup: '0'.repeat(16), session_id: session, turns: [{ context_id: '', record: 'AAAA' }] }] },
  ],
  sayComing: () => [{}],
  updateChatCompletion: () => [{ metadata: { note: 'taken over' } }],
  takeTurn: turns,
  takeTurnAtCompletions: turns,
  tokenize: () => [{ content: 'Hello.' }],
  detokenize: () => [{ tokens: [1, 2, 3] }],
  applyTemplate: () => [{ messages: hello }],
  createChatCompletion: (victim) => [
    { messages: hello, user: victim.name },
    { messages: hello, user: victim.name, session_id: victim.session, turn: 2 },
    { messages: hello, session_id: victim.session, context_id: victim.context },
  ],
  createCompletion: ({ name }) => [{ prompt: 'Hello.', user: name }],
  createResponse: responses,
  cancelResponse: () => [{}],
  countInputTokens: responses,
  compactConversation: (victim) => [
    { previous_response_id: victim.response, user: victim.name },
    { input: [{ type: 'item_reference', id: victim.inputItem }] },
    { input: [{ type: 'compaction', encrypted_content: victim.summary }, ...hello] },
  ],
  createConversation: (victim) => [
    { user: victim.name, items: [{ type: 'item_reference', id: victim.conversationItem }] },
    { items: [{ type: 'compaction', encrypted_content: victim.summary }] },
  ],
  setLifetime: () => [{ ttl_seconds: 3_600 }],
  setPreferences: () => [{ preferences: 'taken over' }, { preferences: { taken: 'over' }, version: 1 }],
  updateConversation: () => [{ metadata: { note: 'taken over' } }],
  addItems: (victim) => [{ items: hello }, { items: [{ type: 'item_reference', id: victim.inputItem }] }],
  createEmbeddings: () => [{ input: 'Hello.' }],
  createAnthropicMessage: ({ name }) => [{ max_tokens: 8, messages: hello, metadata: { user_id: name } }],
  countAnthropicTokens: () => [{ messages: hello }],
};

function turns({ name, session, context }: Victim): readonly object[] {
  const prompt = 'What is my name?';
  return [
    { prompt, session_id: session, turn: 3, user_id: name },
    { prompt, session_id: session, turn: 3, consistency: 'available' },
    { prompt, session_id: session, context_id: context, user_id: name },
    { prompt, session_id: session, turn: 3, repair: [{ prompt: 'a', reply: 'b' }] },
  ];
}

function responses(victim: Victim): readonly object[] {
  const input = 'What is my name?';
  const items = [victim.inputItem, victim.outputItem, victim.conversationItem];
  return [
    ...written(victim.response).map((id) => ({ input, previous_response_id: id, user: victim.name })),
    ...written(victim.conversation).map((conversation) => ({ input, conversation, user: victim.name })),
    ...items.map((id) => ({ input: [{ type: 'item_reference', id }, ...hello], user: victim.name })),
    { input: [{ type: 'compaction', encrypted_content: victim.summary }, ...hello], user: victim.name },
  ];
}

/** An id as it is, and as something lenient could take for it. */
function written(id: string): readonly string[] {
  const last = id.at(-1) === 'A' ? 'B' : 'A';
  return [
    ...[id, id.toUpperCase(), id.toLowerCase(), `${id}=`, ` ${id}`, `${id.slice(0, -1)}${last}`],
    ...[`${id}\u200b`, `./${id}`, `x/../${id}`, id.normalize('NFD'), id.replace('_', '-')],
  ];
}

/** The victim's, by the name of the parameter. */
function idsOf(victim: Victim): Readonly<Record<string, string>> {
  return {
    user_id: victim.name,
    receipt_id: 'ab'.repeat(16),
    session_id: victim.session,
    completion_id: victim.completion,
    response_id: victim.response,
    conversation_id: victim.conversation,
    item_id: victim.conversationItem,
    model: 'scripted',
  };
}

const parametersOf = (path: string) => [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as string);
const filledIn = (path: string, ids: Readonly<Record<string, string>>) =>
  path.replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(ids[name] as string));

/** Paths of an operation with the victim's ids in it, in all ways to write them. */
function pathsOf(path: string, victim: Victim): readonly string[] {
  const ids = idsOf(victim);
  const parameters = parametersOf(path);
  if (parameters.length === 0) return [path];
  for (const name of parameters) expect(ids, `what is the victim's ${name}?`).toHaveProperty(name);
  const [first] = parameters;
  return written(ids[first as string] as string).map((as) => filledIn(path, { ...ids, [first as string]: as }));
}

/** Queries in which other users can be named. */
const queriesOf = (victim: Victim) => ['', `?user_id=${encodeURIComponent(victim.name)}`];

const takesBody = (method: string) => method === 'POST' || method === 'PUT';

/** Whose words these are, beside the attacker's. */
function foreignIn(text: string, attacker: User | undefined): string[] {
  if (!text.includes('canary')) return [];
  return users
    .filter((user) => user !== attacker)
    .flatMap((user) => ROLES.map(user.canary).filter((canary) => text.includes(canary)));
}

interface Operation {
  readonly path: string;
  readonly method: string;
  readonly operation: Json;
}

async function documented(): Promise<readonly Operation[]> {
  const { paths } = await must('GET', '/openapi.json', users[0]?.key as string);
  return Object.entries<Json>(paths).flatMap(([path, methods]) =>
    Object.entries<Json>(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
}

/** Ids of the same form, of nothing. */
function nothingLike(ids: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(ids).map(([name, id]) => {
      if (name === 'model' || name === 'receipt_id') return [name, id];
      const middle = id.length >> 1;
      return [name, `${id.slice(0, middle)}${id[middle] === 'q' ? 'z' : 'q'}${id.slice(middle + 1)}`];
    }),
  );
}

/** Of an operation on what a path names, as its first body. */
const firstBody = ({ method, operation }: Operation, victim: Victim) =>
  takesBody(method) ? BODIES[operation.operationId]?.(victim)[0] : undefined;

/** What has a path with ids in it, and is somebody's. */
async function onSomething(): Promise<readonly Operation[]> {
  const operations = await documented();
  return operations.filter(({ path }) => parametersOf(path).some((name) => name !== 'model'));
}

/** What asks for something by each kind of id, in the way in which the id is written. */
const QUESTIONS: readonly ((
  victim: Victim,
  at: (id: string) => string,
  attacker: User,
) => readonly [string, object?])[] = [
  ({ name }, at) => [`/users/${at(name)}/export`],
  ({ name, session }, at) => [`/sessions/${at(session)}/export?user_id=${encodeURIComponent(name)}`],
  ({ session, context }, at, attacker) => [
    `/sessions/${encodeURIComponent(session)}?context_id=${at(context)}&user_id=${encodeURIComponent(attacker.name)}&max_wait_ms=0`,
  ],
  ({ completion }, at) => [`/v1/chat/completions/${at(completion)}`],
  ({ response }, at) => [`/v1/responses/${at(response)}`],
  ({ conversation, conversationItem }, at) => [`/v1/conversations/${at(conversation)}/items/${at(conversationItem)}`],
  ({ inputItem }, at, { conversation }) => [`/v1/conversations/${conversation}/items/${at(inputItem)}`],
  ({ outputItem }, at, { conversation }) => [`/v1/conversations/${conversation}/items/${at(outputItem)}`],
  ({ summary }, at) => [
    '/v1/responses/input_tokens',
    { input: [{ type: 'compaction', encrypted_content: decodeURIComponent(at(summary)) }, ...hello] },
  ],
];

// Before what would destroy something: what is gone cannot be told to anybody.
it('every id of everybody is tried by everybody, each time written in another way', async () => {
  let asked = 0;
  for (const [from, attacker] of users.entries()) {
    const tries = users.map(async (victim, to) => {
      if (victim === attacker) return;
      for (const [place, question] of QUESTIONS.entries()) {
        const at = (id: string) => {
          const ways = written(id);
          return encodeURIComponent(ways[(from * USERS + to + place) % ways.length] as string);
        };
        const [path, body] = question(victim, at, attacker);
        const answer = await ask(body === undefined ? 'GET' : 'POST', path, attacker.key, body);
        asked++;
        expect(answer.status, `${path} ${answer.text}`).not.toBe(500);
        expect(foreignIn(answer.text, attacker), path).toEqual([]);
      }
    });
    await Promise.all(tries);
  }
  expect(asked).toBe(USERS * (USERS - 1) * QUESTIONS.length);
}, 600_000);

it("what is somebody else's is answered word for word as what is not there", async () => {
  const [victim, attacker] = users as [User, User];
  const [theirs, nothing] = [idsOf(victim), nothingLike(idsOf(victim))];
  for (const operation of await onSomething()) {
    const { path, method } = operation;
    const of = (ids: Readonly<Record<string, string>>) =>
      ask(method, filledIn(path, ids), attacker.key, firstBody(operation, victim));
    const [foreign, missing] = [await of(theirs), await of(nothing)];
    const named = parametersOf(path).reduce(
      (text, name) => text.replaceAll(theirs[name] ?? '', nothing[name] ?? ''),
      foreign.text,
    );
    expect([foreign.status, withoutRequest(named)], `${method} ${path}`).toEqual([
      missing.status,
      withoutRequest(missing.text),
    ]);
    if (!SAID_OF_ANY.includes(operation.operation.operationId))
      expect(foreign.status, `${method} ${path}`).toBeGreaterThanOrEqual(400);
  }
});

/** They succeed on whatever session is named, and do nothing on one that is not there. */
const SAID_OF_ANY = ['cancelTurn', 'sayComing'];

/** Each request has an id of its own. */
const withoutRequest = (text: string) => text.replaceAll(/"request_id":"[^"]*"/g, '');

it("nobody gets at anything of anybody else's, by any operation and any of their ids", async () => {
  const operations = await documented();
  const unsaid = operations.filter(
    ({ method, operation }) => takesBody(method) && BODIES[operation.operationId] === undefined,
  );
  expect(unsaid.map(({ operation }) => operation.operationId)).toEqual([]);

  let asked = 0;
  for (const { path, method, operation } of operations) {
    // Each user is attacked by one other, and all of them by every operation.
    const pairs = users.map((victim, place) => [victim, users[(place * 7 + 1) % USERS] as User] as const);
    for (const [victim, attacker] of pairs.slice(0, path.includes('{') || method === 'POST' ? 8 : 2)) {
      const attacks = pathsOf(path, victim).flatMap((filled) => {
        const bodies = takesBody(method) ? (BODIES[operation.operationId]?.(victim) ?? []) : [undefined];
        const takesUser = operation.parameters?.some(({ name }: Json) => name === 'user_id');
        return (takesUser ? queriesOf(victim) : ['']).flatMap((query) =>
          bodies.map((body) => ({ at: filled + query, body })),
        );
      });
      for (const { at, body } of attacks) {
        const answer = await ask(method, at, attacker.key, body);
        asked++;
        const told = `${method} ${at} ${JSON.stringify(body)} → ${answer.status}`;
        expect(answer.status, `${told} ${answer.text}`).not.toBe(500);
        expect(foreignIn(answer.text, attacker), told).toEqual([]);
      }
    }
  }
  expect(asked).toBeGreaterThan(1_000);
}, 120_000);

it('nor does the log, at its most talkative, or a metric say any of it', async () => {
  expect(logged.length).toBeGreaterThan(1_000);
  expect(foreignIn(logged.join('\n'), undefined)).toEqual([]);
  const metrics = (await ask('GET', '/metrics', operator)).text;
  expect(foreignIn(metrics, undefined)).toEqual([]);
  expect(users.filter(({ name }) => metrics.includes(`"${name}"`))).toEqual([]);
});

it('and everybody still has all that is theirs', async () => {
  for (const user of users) {
    const { turns: kept } = await must('GET', `/sessions/${encodeURIComponent(user.session)}`, user.key);
    expect(kept).toHaveLength(2);
    expect(JSON.stringify(kept)).toContain(user.canary('prompt'));
    const exported = JSON.stringify(await must('GET', `/users/${user.name}/export`, user.key));
    expect(ROLES.filter((role) => !exported.includes(user.canary(role)))).toEqual(['metadata']);
    const { summaries } = await must('GET', `/sessions/${encodeURIComponent(`long ${user.session}`)}`, user.key);
    expect(JSON.stringify(summaries)).toContain(user.canary('summary'));
    const own = await must('GET', `/users/${user.name}/preferences`, user.key);
    expect(own).toMatchObject({ preferences: user.canary('preferences'), version: 1 });
    const response = await must('GET', `/v1/responses/${user.response}`, user.key);
    expect(response.metadata).toEqual({ note: user.canary('metadata') });
    const completion = await must('GET', `/v1/chat/completions/${user.completion}`, user.key);
    expect(completion.metadata).toEqual({ note: user.canary('metadata') });
    const conversation = await must('GET', `/v1/conversations/${user.conversation}`, user.key);
    expect(conversation.metadata).toEqual({ note: user.canary('metadata') });
    const items = await must('GET', `/v1/conversations/${user.conversation}/items`, user.key);
    expect(JSON.stringify(items)).toContain(user.canary('item'));
    const next = await ask('POST', '/v1/responses', user.key, { input: 'Go on.', previous_response_id: user.response });
    expect(next.status).toBe(200);
  }
});

/** Operations that have nothing to do for anybody of these: no response is under way, there is no other model, nobody was erased. */
const NOTHING_TO_DO = ['cancelResponse', 'moveSession', 'showErasure'];

it('each of these operations is one that its owner gets something of', async () => {
  const [owner] = users as [User];
  const order = ['GET', 'POST', 'PATCH', 'PUT', 'DELETE'];
  const operations = [...(await onSomething())].sort(
    (a, b) => order.indexOf(a.method) - order.indexOf(b.method) || b.path.length - a.path.length,
  );
  const refused: string[] = [];
  for (const operation of operations) {
    const { path, method } = operation;
    const { status } = await ask(method, filledIn(path, idsOf(owner)), owner.key, firstBody(operation, owner));
    if (status >= 400) refused.push(operation.operation.operationId);
  }
  expect(refused.sort()).toEqual(NOTHING_TO_DO.sort());
});
