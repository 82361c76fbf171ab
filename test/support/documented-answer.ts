import { Compile } from 'typebox/compile';
import type { Answer, Json } from '../../tools/test-node.ts';

/** The document with every `$ref` in the place that it names, and objects that name their fields closed to others. */
export function resolved(document: Json): Json {
  const replace = (part: Json): Json => {
    if (Array.isArray(part)) return part.map(replace);
    if (part === null || typeof part !== 'object') return part;
    if (typeof part.$ref === 'string') {
      const place = part.$ref.slice('#/'.length).split('/');
      return replace(place.reduce((at: Json, key: string) => at[key], document));
    }
    return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, replace(value)]));
  };
  return replace(document.paths);
}

/** What an answer has that its document does not say; empty when all is said. */
export function undocumented(operation: Json, { status, headers, text, body }: Answer): string[] {
  const described = operation.responses[status];
  if (described === undefined) return [`status ${status}: ${text.slice(0, 300)}`];
  if (status >= 500 && status !== 503) return [`status ${status}: ${text.slice(0, 300)}`];
  if (headers.get('x-request-id') === null) return ['no x-request-id'];
  const type = (headers.get('content-type') ?? '').split(';')[0] as string;
  const schema = described.content[type]?.schema;
  if (schema === undefined) return [`content-type ${type} with status ${status}`];
  if (type === 'text/event-stream') return eventsOf(text).flatMap((event) => faultsOf(schema, event));
  return faultsOf(schema, type === 'application/json' ? body : text);
}

function eventsOf(text: string): unknown[] {
  const events = text.split('\n\n').filter((event) => event.startsWith('data: '));
  return events.map((event) => {
    const data = event.slice('data: '.length);
    return data === '[DONE]' ? data : JSON.parse(data);
  });
}

const compiled = new WeakMap<object, ReturnType<typeof Compile>>();

function faultsOf(schema: Json, value: unknown): string[] {
  const checked = compiled.get(schema) ?? Compile(closed(schema));
  compiled.set(schema, checked);
  if (checked.Check(value)) return [];
  return [`${JSON.stringify(checked.Errors(value)).slice(0, 600)} in ${JSON.stringify(value).slice(0, 300)}`];
}

/** A field that the schema does not name is a fault, unless it says that there may be others. */
function closed(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map(closed);
  if (schema === null || typeof schema !== 'object') return schema;
  const own = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  const isObject = own.type === 'object' && own.properties !== undefined && own.additionalProperties === undefined;
  return isObject ? { ...own, additionalProperties: false } : own;
}
