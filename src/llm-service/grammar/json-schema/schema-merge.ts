import { isAnnotation, type Schema, SchemaProblem } from './schema-keywords.ts';

/** Lower bounds, of which the greatest holds, and upper ones, of which the least. */
const AT_LEAST: ReadonlySet<string> = new Set(['minItems', 'minLength', 'minimum', 'exclusiveMinimum']);
const AT_MOST: ReadonlySet<string> = new Set(['maxItems', 'maxLength', 'maximum', 'exclusiveMaximum']);

/** One schema for what all of several allow (`allOf`, and what stands beside a reference). Throws {@link SchemaProblem}. */
export function mergeAll(schemas: readonly Schema[], at: string): Schema {
  const merged: Record<string, unknown> = {};
  for (const schema of schemas) {
    for (const [keyword, value] of Object.entries(schema)) {
      const known = merged[keyword];
      merged[keyword] = known === undefined ? value : both(keyword, known, value, at);
    }
  }
  return merged;
}

function both(keyword: string, a: unknown, b: unknown, at: string): unknown {
  if (isAnnotation(keyword) || JSON.stringify(a) === JSON.stringify(b)) return a;
  if (AT_LEAST.has(keyword)) return Math.max(a as number, b as number);
  if (AT_MOST.has(keyword)) return Math.min(a as number, b as number);
  if (keyword === 'required' && Array.isArray(a) && Array.isArray(b)) return [...new Set([...a, ...b])];
  if (keyword === 'properties') return mergeProperties(a as Schema, b as Schema);
  if (keyword === 'additionalProperties' && (a === false || b === false)) return false;
  if (keyword === 'enum' && Array.isArray(a) && Array.isArray(b)) {
    const texts = new Set(b.map((value) => JSON.stringify(value)));
    return a.filter((value) => texts.has(JSON.stringify(value)));
  }
  if (keyword === 'type') {
    const types = [a].flat().filter((type) => [b].flat().includes(type));
    if (types.length > 0) return types;
    const numbers = [a, b].flat();
    if (numbers.includes('integer') && numbers.includes('number')) return 'integer';
  }
  throw new SchemaProblem(at, `${keyword} is said twice, and a grammar cannot hold a reply to both`);
}

function mergeProperties(a: Schema, b: Schema): Schema {
  const properties: Record<string, unknown> = { ...a };
  for (const [name, schema] of Object.entries(b)) {
    const known = properties[name];
    properties[name] = known === undefined ? schema : { allOf: [known, schema] };
  }
  return properties;
}
