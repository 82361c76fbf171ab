/**
 * docs/openai.md against OpenAI's own types and against a node: every field that the stock client can send and every event that it can
 * be sent has its row; what is called refused is refused by name, and the rest is in the node's OpenAPI document. A field that comes
 * with a new version of the client is missed here first.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InProcessNode, type Json, startTestNode } from '../../../../tools/test-node.ts';

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../../../${path}`, import.meta.url)), 'utf8');
const DOCUMENT = read('docs/openai.md');
const RESPONSE_TYPES = typesOf('responses/responses');

interface Documented {
  readonly path: string;
  /** What the table is under, and what it begins with. */
  readonly section: string;
  readonly head: string;
  readonly types: string;
  readonly request: string;
  readonly body: object;
}

const REQUESTS: readonly Documented[] = [
  {
    ...{ path: '/v1/chat/completions', section: 'Chat completions', head: 'field' },
    ...{ types: typesOf('chat/completions/completions'), request: 'ChatCompletionCreateParamsBase' },
    body: { messages: [{ role: 'user', content: 'x' }] },
  },
  {
    ...{ path: '/v1/completions', section: 'Completions', head: 'field' },
    ...{ types: typesOf('completions'), request: 'CompletionCreateParamsBase', body: { prompt: 'x' } },
  },
  {
    ...{ path: '/v1/responses', section: 'Responses', head: 'field of create' },
    ...{ types: RESPONSE_TYPES, request: 'ResponseCreateParamsBase', body: { input: 'x' } },
  },
  {
    ...{ path: '/v1/responses/compact', section: 'Responses', head: 'field of compact' },
    ...{ types: RESPONSE_TYPES, request: 'ResponseCompactParams', body: { input: 'x' } },
  },
  {
    ...{ path: '/v1/embeddings', section: 'Embeddings', head: 'field' },
    ...{ types: typesOf('embeddings'), request: 'EmbeddingCreateParams', body: { input: 'x' } },
  },
];

let node: InProcessNode;
let schemas: Json;
beforeAll(async () => {
  node = await startTestNode();
  schemas = (await node.get('/openapi.json')).body;
});
afterAll(() => node.close());

describe.each(REQUESTS)('the fields of $path', ({ path, section, head, types, request, body }) => {
  const rows = tableOf(section, head);
  const documented = rows.flatMap(([names]) => namesIn(names)).map((name) => name.split('.')[0]);
  const refused = rows.filter(([, meaning]) => meaning === 'refused').flatMap(([names]) => wholeNames(names));

  it('are all in the table', () => {
    const stock = fieldsOf(types, request);
    expect(stock.length).toBeGreaterThan(3);
    expect(stock.filter((name) => !documented.includes(name))).toEqual([]);
  });

  it('are refused by name where the table says so, and are described where it does not', async () => {
    for (const name of refused) {
      const answer = await node.post(path, { model: 'any', ...body, [name]: ['x'] });
      expect([name, answer.status, answer.body.error.code, answer.body.error.param]).toEqual([
        ...[name, 400, 'unsupported_parameter', name],
      ]);
    }
    const described = Object.keys(requestSchema(path).properties);
    const honoured = fieldsOf(types, request).filter((name) => !refused.includes(name));
    expect(honoured.filter((name) => !described.includes(name))).toEqual([]);
  });
});

it('every event of a response is in the table, and those that are sent are known to the client', () => {
  const documented = tableOf('Responses', 'event').flatMap(([names, meaning]) =>
    namesIn(names).map((name) => ({ name, isSent: !meaning.startsWith('never') })),
  );
  const stock = [...RESPONSE_TYPES.matchAll(/^ {4}type: '(response\.[a-z_.]+)';/gm)].map(([, type]) => type as string);
  // What a client sends over a WebSocket.
  const events = new Set(stock.filter((type) => type !== 'response.create'));
  expect(events.size).toBeGreaterThan(40);
  const isNamed = (event: string) =>
    documented.some(({ name }) => (name.endsWith('…') ? event.startsWith(name.slice(0, -1)) : event === name));
  expect([...events].filter((event) => !isNamed(event))).toEqual([]);
  // The specification of Open Responses has it, the client's types do not.
  const sent = documented.filter(({ name, isSent }) => isSent && !['error', 'response.cancelled'].includes(name));
  expect(sent.map(({ name }) => name).filter((name) => !events.has(name))).toEqual([]);
});

function typesOf(path: string): string {
  return read(`node_modules/openai/resources/${path}.d.ts`);
}

/** Of an interface of the client's types, in their order. */
function fieldsOf(types: string, name: string): string[] {
  const [, body = ''] = new RegExp(`^export interface ${name} \\{\\n(.*?)^\\}`, 'ms').exec(types) ?? [];
  return [...body.matchAll(/^ {4}(\w+)\??:/gm)].map(([, field]) => field as string);
}

/** Cells of the rows of a table of docs/openai.md. */
function tableOf(section: string, head: string): (readonly [names: string, meaning: string])[] {
  const [, text = ''] = new RegExp(`^## ${section}\\n(.*?)(?=^## |$(?![\\s\\S]))`, 'ms').exec(DOCUMENT) ?? [];
  const [, table = ''] =
    new RegExp(`^\\| ${head} \\| \\|\\n\\| --- \\| --- \\|\\n((?:\\|.*\\n?)+)`, 'm').exec(text) ?? [];
  const rows = [...table.matchAll(/^\| (.*?) \| (.*) \|$/gm)];
  expect(rows.length, `${section}: ${head}`).toBeGreaterThan(2);
  return rows.map(([, names, meaning]) => [names as string, meaning as string]);
}

function namesIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name as string);
}

/** Those that the row is about as wholes: not a field's field, nor some of its values. */
function wholeNames(cell: string): string[] {
  return [...cell.matchAll(/`(\w+)`(?! above)/g)].map(([, name]) => name as string);
}

function requestSchema(path: string): Json {
  const { schema } = schemas.paths[path].post.requestBody.content['application/json'];
  const [, name] = /\/([^/]+)$/.exec(schema.$ref ?? '') ?? [];
  return name === undefined ? schema : schemas.components.schemas[name];
}
