import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { type InProcessNode, type Json, type NodeUnderTest, startTestNode } from '../../tools/test-node.ts';

const KINDS = [
  ...(['prompt', 'reply', 'system', 'preferences', 'tool call', 'tool result', 'history', 'summary'] as const),
  ...(['completion metadata', 'response input', 'response metadata', 'conversation metadata', 'item'] as const),
  ...(['message', 'imported session', 'imported user', 'imported preferences'] as const),
];
type Kind = (typeof KINDS)[number];

/** Comes up nowhere by chance, and of no two kinds alike. */
const word = (kind: Kind) => `canary${createHash('sha256').update(kind).digest('base64url').slice(0, 12)}`;

/** What a file has that has something of the kind: of what a model has written, more than what it was given. */
export const CANARIES: ReadonlyMap<Kind, string> = new Map(
  KINDS.map((kind) => {
    if (kind === 'reply') return [kind, `Turn 1: ${word(kind)}`];
    return [kind, kind === 'summary' ? `: ${word(kind)} and so` : word(kind)];
  }),
);

/** One id a byte: three long turns are too many. */
const CONTEXT_TOKENS = 4096;
/** A scripted model with tools, whose conversations get too long. */
export const CANARY_MODEL = {
  chatTemplateFile: fileURLToPath(new URL('chat-templates/qwen2-5.jinja', import.meta.url)),
  contextTokens: CONTEXT_TOKENS,
  mode: 'raw',
};

/** Has the user say something at every place of a node of {@link CANARY_MODEL} where something can be said. */
export async function sayEverywhere(node: NodeUnderTest, user: string): Promise<void> {
  await must(node, 'PUT', `/users/${user}/preferences`, { preferences: word('preferences') });
  const turn = (session: string, more: object) =>
    must(node, 'POST', '/completion', { session_id: `${user} ${session}`, user_id: user, ...more });
  await turn('plain', { system: word('system'), prompt: word('prompt') });
  await turn('answered', { prompt: word('reply') });
  await sayUntilSummarized(turn);
  await sayInDialects(node, user);
  await importEverything(node, user);
}

async function sayUntilSummarized(turn: (session: string, more: object) => Promise<Json>): Promise<void> {
  const long = 'and so on '.repeat(CONTEXT_TOKENS / 29);
  const opening = { turn: 1, prompt: `${word('summary')} ${long}` };
  const turns = [opening, { turn: 2, prompt: long }, { turn: 3, prompt: long }];
  let summarized = 0;
  for (const said of turns)
    summarized = (await turn('long', { ...said, n_predict: 16, overflow: 'summarize' })).summarized_turns ?? 0;
  if (summarized === 0) throw new Error('nothing was summarized');
}

async function sayInDialects(node: NodeUnderTest, user: string): Promise<void> {
  const post = (path: string, body: object) => must(node, 'POST', path, { user, ...body });
  const messages = [{ role: 'user', content: word('history') }];
  await post('/v1/chat/completions', { messages, store: true, metadata: { note: word('completion metadata') } });
  const look = { name: 'look_up', arguments: JSON.stringify({ what: word('tool call') }) };
  const called = { role: 'assistant', content: null, tool_calls: [{ id: 'call', type: 'function', function: look }] };
  const told = { role: 'tool', tool_call_id: 'call', content: word('tool result') };
  const tools = [{ type: 'function', function: { name: look.name } }];
  await post('/v1/chat/completions', { messages: [...messages, called, told], tools, store: true });
  // With more than this, what a record says of a response is compressed, and no text in any file.
  await post('/v1/responses', { input: word('response input'), metadata: { a: word('response metadata') } });
  const items = [{ role: 'user', content: word('item') }];
  await post('/v1/conversations', { items, metadata: { note: word('conversation metadata') } });
  const message = { max_tokens: 8, messages: [{ role: 'user', content: word('message') }] };
  await must(node, 'POST', '/v1/messages', { model: 'scripted', ...message, metadata: { user_id: user } });
}

/** What was said at a node that keeps nothing, and comes from there. */
async function importEverything(node: NodeUnderTest, user: string): Promise<void> {
  const other: InProcessNode = await startTestNode(CANARY_MODEL);
  try {
    const traveller = `${user}-traveller`;
    const turn = (session: string, prompt: string) =>
      must(other, 'POST', '/completion', { session_id: `${user} ${session}`, user_id: traveller, prompt });
    await turn('one', word('imported session'));
    const session = await must(
      other,
      'GET',
      `/sessions/${encodeURIComponent(`${user} one`)}/export?user_id=${traveller}`,
    );
    await must(node, 'POST', `/sessions/import?user_id=${traveller}`, session);
    await must(other, 'DELETE', `/sessions/${encodeURIComponent(`${user} one`)}?user_id=${traveller}`);
    await turn('other', word('imported user'));
    await must(other, 'PUT', `/users/${traveller}/preferences`, { preferences: word('imported preferences') });
    const all = await must(other, 'GET', `/users/${traveller}/export`);
    const { imported } = await must(node, 'POST', `/users/${traveller}/import`, all);
    if (imported !== 1) throw new Error(`${imported} sessions were imported`);
  } finally {
    await other.close();
  }
}

async function must(node: NodeUnderTest, method: string, path: string, body?: object): Promise<Json> {
  const json = body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  const answer = await node.request(method, path, json);
  if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
  return answer.body;
}
