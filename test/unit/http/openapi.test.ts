// Reads the node's OpenAPI document as a generator of clients does: what would leave it without a type, or with two of one
// name, is a fault of the document.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InProcessNode, type Json, startTestNode } from '../../../tools/test-node.ts';

let node: InProcessNode;
let document: Json;
beforeAll(async () => {
  node = await startTestNode();
  document = (await node.get('/openapi.json')).body;
});
afterAll(() => node.close());

const operations = (): [string, Json][] =>
  Object.entries<Json>(document.paths).flatMap(([path, methods]) =>
    Object.entries<Json>(methods).map(([method, operation]): [string, Json] => [`${method} ${path}`, operation]),
  );
const each = (property: (operation: Json) => unknown) =>
  Object.fromEntries(operations().map(([name, operation]) => [name, property(operation)]));
const all = (value: unknown) => each(() => value);

describe('every operation', () => {
  it('says what success is', () => {
    const isDescribed = ({ responses }: Json) =>
      Object.keys(responses['200']?.content ?? {}).length > 0 &&
      Object.values<Json>(responses['200'].content).every(({ schema }) => Object.keys(schema).length > 0);
    expect(each(isDescribed)).toEqual(all(true));
  });

  it('has a name of its own, one tag of those that the document lists, and a summary', () => {
    const names = operations().map(([, { operationId }]) => operationId);
    expect(new Set(names).size).toBe(operations().length);
    expect(names).toEqual(names.filter((name) => /^[a-z][A-Za-z0-9]+$/.test(name)));
    const tags = document.tags.map(({ name }: Json) => name);
    expect(each((operation) => operation.tags?.length === 1 && tags.includes(operation.tags[0]))).toEqual(all(true));
    expect(each(({ summary }) => typeof summary)).toEqual(all('string'));
  });

  it('lists the codes of each error status', () => {
    const codesOf = ({ responses }: Json) =>
      Object.entries<Json>(responses)
        .filter(([status]) => !status.startsWith('2'))
        .every(
          ([, { content }]) => content['application/json'].schema.properties.error.properties.type.enum.length > 0,
        );
    expect(each(codesOf)).toEqual(all(true));
    const { responses } = document.paths['/sessions/{session_id}/fork'].post;
    expect(responses['412'].content['application/json'].schema.properties.error.properties.type.enum).toEqual([
      'session_exists',
    ]);
    expect(responses['503'].headers).toHaveProperty('retry-after-ms');
  });
});

it('a streamed reply is declared, with the data of its events', () => {
  const { content } = document.paths['/completion'].post.responses['200'];
  expect(Object.keys(content)).toEqual(['application/json', 'text/event-stream']);
  expect(content['text/event-stream'].schema).toEqual({ $ref: '#/components/schemas/CompletionEvent' });
  expect(document.components.schemas.CompletionEvent.anyOf).toEqual(
    ['CompletionPart', 'Completion', 'CompletionFailure'].map((name) => ({ $ref: `#/components/schemas/${name}` })),
  );
});

it('the rules for ids are in their schemas', () => {
  const [{ schema }] = document.paths['/sessions/{session_id}'].get.parameters.filter(
    ({ name }: Json) => name === 'session_id',
  );
  expect(schema).toMatchObject({ type: 'string', minLength: 1, maxLength: 128 });
  const pattern = new RegExp(schema.pattern, 'u');
  expect(['a', '...', 'ü/✓', '.a'].filter((id) => !pattern.test(id))).toEqual([]);
  expect(['', '.', '..', 'a\nb', '\u007f'].filter((id) => pattern.test(id))).toEqual([]);
});

it('a fork needs its place', () => {
  const { anyOf } = document.components.schemas.ForkRequest;
  expect(anyOf.map(({ required }: Json) => required)).toEqual([['turn'], ['context_id']]);
});
