import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Value } from 'typebox/value';

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
