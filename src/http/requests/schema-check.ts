import type { FastifySchemaCompiler } from 'fastify';
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Value } from 'typebox/value';
import { invalid } from './parameters.ts';

/**
 * Checks parts of requests by their schemas, and those of paths and queries with texts read as what the schema wants. A schema is compiled for the
 * first request that needs it: a node has some 150, and most are never asked.
 */
export const checkBySchema: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  let compiled: ReturnType<typeof Compile> | undefined;
  return (given: unknown) => {
    compiled ??= Compile(schema);
    const value = httpPart === 'body' ? given : Value.Convert(schema, given);
    return compiled.Check(value) ? { value } : { error: compiled.Errors(value) };
  };
};

/**
 * Reads a part of a body that did not come as a whole; compiled as above. What it gives throws `invalid_request`, which names `param`. What is
 * wrong is looked for in all of a value, which may be millions of elements, or in what `explained` makes of it.
 */
export function readBySchema<Schema extends TSchema>(
  schema: Schema,
  explained = (value: unknown) => value,
): (value: unknown, param: string) => Static<Schema> {
  let compiled: ReturnType<typeof Compile> | undefined;
  return (value, param) => {
    compiled ??= Compile(schema);
    if (compiled.Check(value)) return value as Static<Schema>;
    const [first] = compiled.Errors(explained(value));
    throw invalid(param, `${param}${first?.instancePath ?? ''} ${first?.message ?? 'is malformed'}`);
  };
}
