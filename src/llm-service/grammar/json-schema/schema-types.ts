import { type Schema, SchemaProblem } from './schema-keywords.ts';

const TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const;
export type TypeName = (typeof TYPES)[number];

/** As `type` says, or as the other keywords imply; none: any. */
export function typesOf(schema: Schema, at: string): TypeName[] {
  const named = schema.type === undefined ? [] : [schema.type].flat();
  const unknown = named.find((type) => !TYPES.includes(type as TypeName));
  if (unknown !== undefined) throw new SchemaProblem(at, 'type names a type that JSON has not');
  if (named.length > 0) return named as TypeName[];
  const implied = (type: TypeName, ...keywords: string[]) =>
    keywords.some((keyword) => schema[keyword] !== undefined) ? [type] : [];
  return [
    ...implied('object', 'properties', 'required', 'additionalProperties'),
    ...implied('array', 'items', 'prefixItems', 'minItems', 'maxItems'),
    ...implied('string', 'minLength', 'maxLength', 'format'),
    ...implied('number', 'minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'),
  ];
}

export function isOfType(value: unknown, type: TypeName): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return value !== null && typeof value === 'object' && !Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}
