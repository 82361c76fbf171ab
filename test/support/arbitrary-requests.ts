import fc, { type Arbitrary } from 'fast-check';
import type { Json } from '../../tools/test-node.ts';

/** A request as it is sent: its path is encoded, its body is bytes of a kind. */
export interface DrawnRequest {
  readonly path: string;
  readonly body: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

/** Values that are likelier to be answered with success than drawn ones, by the name of the field or parameter. */
export type KnownValues = Readonly<Record<string, Arbitrary<unknown>>>;

const HOSTILE: readonly unknown[] = [
  ...[null, true, '', '.', '..', ' ', 'a\u0000b', 'line\nbreak', '\ud800', '👩‍👩‍👧', '\u202e', 'x'.repeat(300)],
  ...[0, -1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53, 1e308, -1e308],
  ...[[], {}, [[]], [null], [{}], ['x', 1], { __proto__: null, constructor: 1 }, JSON.parse('{"__proto__": {"a": 1}}')],
];
const hostile = fc.constantFrom(...HOSTILE);

const JSON_HEADERS = { 'content-type': 'application/json' };

/** Requests of an operation: half of them as its document asks, the others with something wrong. Schemas have no `$ref`. */
export function arbitraryRequests(path: string, operation: Json, known: KnownValues): Arbitrary<DrawnRequest> {
  const parameters: Json[] = operation.parameters ?? [];
  const drawn = (place: string) =>
    fc.record(
      Object.fromEntries(
        parameters
          .filter((one) => one.in === place)
          .map(({ name, schema }) => [name, parameter({ name, schema, place }, known)]),
      ),
      place === 'path' ? {} : { requiredKeys: [] },
    ) as Arbitrary<Record<string, string>>;
  const bodySchema = operation.requestBody?.content['application/json'].schema;
  return fc
    .record({ inPath: drawn('path'), query: drawn('query'), sent: bodySchema ? bodies(bodySchema, known) : noBody })
    .map(({ inPath, query, sent }) => {
      const filled = path.replace(/\{(\w+)\}/g, (_, name) => encoded(inPath[name] as string));
      const pairs = Object.entries(query).map(([name, value]) => `${name}=${encoded(value)}`);
      return { path: pairs.length === 0 ? filled : `${filled}?${pairs.join('&')}`, ...sent };
    });
}

const noBody = fc.constant({ body: undefined, headers: {} });

function parameter(
  { name, schema, place }: { name: string; schema: Json; place: string },
  known: KnownValues,
): Arbitrary<string> {
  return (
    fc
      .oneof({ weight: 4, arbitrary: drawnBy(schema, known, name) }, { weight: 1, arbitrary: hostile })
      .map((value) => (typeof value === 'string' ? value : JSON.stringify(value)))
      // In a path these name another one.
      .filter((value) => place !== 'path' || !['', '.', '..'].includes(value))
  );
}

/** Half a surrogate pair cannot be percent-encoded: it is sent as bytes that are not UTF-8. */
function encoded(value: string): string {
  return value.isWellFormed() ? encodeURIComponent(value) : '%ed%a0%80';
}

function bodies(schema: Json, known: KnownValues): Arbitrary<Pick<DrawnRequest, 'body' | 'headers'>> {
  const valid = drawnBy(schema, known) as Arbitrary<object>;
  const names = Object.keys((schema.anyOf?.[0] ?? schema).properties ?? {});
  const wrongField = fc
    .tuple(valid, fc.constantFrom(...names, 'unknown', 'session'), hostile)
    .map(([body, name, value]) => ({ ...body, [name]: value }));
  const lacking = fc
    .tuple(valid, fc.constantFrom(...names))
    .map(([body, name]) => Object.fromEntries(Object.entries(body).filter(([key]) => key !== name)));
  const json = fc
    .oneof({ weight: 5, arbitrary: valid }, { weight: 3, arbitrary: wrongField }, lacking, hostile, fc.jsonValue())
    .map((value) => ({ body: JSON.stringify(value), headers: JSON_HEADERS }));
  const broken = fc.record({
    body: fc.oneof(
      fc.string({ unit: 'binary' }),
      json.map(({ body }) => body.slice(0, -1)),
      fc.constant(''),
    ),
    headers: fc.constantFrom<Record<string, string>>(
      JSON_HEADERS,
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/json; charset=utf-16' },
      { 'content-type': '/' },
      { ...JSON_HEADERS, 'content-encoding': 'gzip' },
    ),
  });
  return fc.oneof({ weight: 6, arbitrary: json }, { weight: 1, arbitrary: broken });
}

function drawnBy(schema: Json, known: KnownValues, name = ''): Arbitrary<unknown> {
  const own = drawnAfresh(schema, known);
  const likely = known[name];
  return likely === undefined ? own : fc.oneof({ weight: 3, arbitrary: likely }, { weight: 1, arbitrary: own });
}

function drawnAfresh(schema: Json, known: KnownValues): Arbitrary<unknown> {
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map((one: Json) => drawnBy(one, known)));
  const { minimum = -(2 ** 31), maximum = 2 ** 31 } = schema;
  switch (schema.type) {
    case 'string':
      return stringOf(schema);
    case 'integer':
      return fc
        .oneof(fc.integer({ min: minimum, max: Math.min(maximum, minimum + 5) }), fc.maxSafeInteger())
        .map((value) => Math.max(minimum, Math.min(maximum, value)));
    case 'number':
      return fc.double({ noNaN: true, min: minimum, max: maximum });
    case 'boolean':
      return fc.boolean();
    case 'array':
      return fc.array(drawnBy(schema.items, known), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(schema.maxItems ?? 4, 4),
      });
    case 'object': {
      const fields = Object.entries<Json>(schema.properties ?? {});
      const values = Object.fromEntries(fields.map(([field, one]) => [field, drawnBy(one, known, field)]));
      return fc.record(values, { requiredKeys: schema.required ?? [] });
    }
    default:
      return fc.jsonValue();
  }
}

function stringOf({ pattern, minLength = 0, maxLength = 40 }: Json): Arbitrary<string> {
  if (pattern === undefined) return fc.string({ unit: 'grapheme', minLength, maxLength: Math.min(maxLength, 40) });
  // Which strings match one with a look-ahead cannot be drawn, only looked at.
  if (!pattern.includes('(?')) return fc.stringMatching(new RegExp(pattern, 'u'));
  const expression = new RegExp(pattern, 'u');
  return fc.string({ unit: 'grapheme', minLength, maxLength: 12 }).filter((text) => expression.test(text));
}
