/** A JSON Schema that is an object; `true` is `{}`. */
export type Schema = Readonly<Record<string, unknown>>;

/** Why no grammar can be made of a schema. `at` is a JSON pointer into it; what the schema says is not quoted. */
export class SchemaProblem extends Error {
  constructor(at: string, problem: string) {
    super(`at ${at}: ${problem}`);
  }
}

/** Say something for people or tools, and nothing of what is valid. */
const ANNOTATIONS: ReadonlySet<string> = new Set([
  ...['$schema', '$id', '$anchor', '$comment', '$defs', 'definitions', 'title', 'description', 'default', 'examples'],
  ...['deprecated', 'readOnly', 'writeOnly', 'contentEncoding', 'contentMediaType', 'contentSchema'],
]);

/** What a grammar can hold a reply to, beside `$ref`. */
const HONOURED: ReadonlySet<string> = new Set([
  ...['type', 'const', 'enum', 'anyOf', 'oneOf', 'allOf', 'properties', 'required', 'additionalProperties'],
  ...['items', 'prefixItems', 'additionalItems', 'minItems', 'maxItems', 'minLength', 'maxLength', 'format'],
  ...['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
]);

/** Keywords of JSON Schema whose neutral value says nothing. */
const NEUTRAL: Readonly<Record<string, unknown>> = { uniqueItems: false, minProperties: 0, minContains: 0 };

/** Keywords of JSON Schema that a grammar cannot express; a name that is none of JSON Schema's says nothing. */
const BEYOND_GRAMMARS: ReadonlySet<string> = new Set([
  ...['not', 'if', 'then', 'else', 'pattern', 'multipleOf', 'uniqueItems', 'contains', 'minContains', 'maxContains'],
  ...['patternProperties', 'propertyNames', 'minProperties', 'maxProperties', 'dependentRequired', 'dependentSchemas'],
  ...['dependencies', 'unevaluatedItems', 'unevaluatedProperties', '$dynamicRef', '$recursiveRef'],
]);

/** Throws {@link SchemaProblem} for a keyword that would silently be broken. */
export function checkKeywords(schema: Schema, at: string): void {
  for (const [keyword, value] of Object.entries(schema)) {
    if (!BEYOND_GRAMMARS.has(keyword) || NEUTRAL[keyword] === value) continue;
    throw new SchemaProblem(at, `a grammar cannot express ${keyword}`);
  }
}

/** Whether a keyword says nothing of what is valid. */
export function isAnnotation(keyword: string): boolean {
  return ANNOTATIONS.has(keyword);
}

/** Whether it says anything of what is valid. */
export function constrains(schema: Schema): boolean {
  return Object.keys(schema).some((keyword) => HONOURED.has(keyword));
}

/** Throws {@link SchemaProblem} for what is no schema, or one that allows nothing. */
export function asSchema(value: unknown, at: string): Schema {
  if (value === true) return {};
  if (value === false) throw new SchemaProblem(at, 'it allows nothing');
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new SchemaProblem(at, 'a schema is an object, true or false');
  }
  return value as Schema;
}

/** A bound such as `minItems`. Throws {@link SchemaProblem} where it is none. */
export function countOf(schema: Schema, keyword: string, at: string): number | undefined {
  const value = schema[keyword];
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new SchemaProblem(at, `${keyword} is a whole number from 0`);
}

export function numberOf(schema: Schema, keyword: string, at: string): number | undefined {
  const value = schema[keyword];
  if (value === undefined || (typeof value === 'number' && Number.isFinite(value))) return value;
  throw new SchemaProblem(at, `${keyword} is a number`);
}

/** Resolves a reference into the same document. Throws {@link SchemaProblem}. */
export function resolveReference(root: Schema, reference: unknown, at: string): unknown {
  if (typeof reference !== 'string' || !/^#(\/|$)/.test(reference)) {
    throw new SchemaProblem(at, '$ref can only point into the same schema, #/…');
  }
  let found: unknown = root;
  for (const step of reference.split('/').slice(1)) {
    const name = decoded(step).replaceAll('~1', '/').replaceAll('~0', '~');
    const isThere = found !== null && typeof found === 'object' && Object.hasOwn(found, name);
    if (!isThere) throw new SchemaProblem(at, '$ref points to nothing');
    found = (found as Schema)[name];
  }
  return found;
}

function decoded(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
}
