import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';

/** Describes the routes that are added to the app afterwards, for {@link FastifyInstance.swagger} to give out. */
export async function describeRoutes(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'DisCEdge edge node',
        version,
        description:
          "llama.cpp's and OpenAI's APIs with context kept by the node. Whatever goes wrong is in the envelope of its API: llama.cpp's, where `type` is a code of docs/errors.md, and under `/v1` OpenAI's, where `code` is. A method that a path does not have is answered 405 with `allow`.",
        license: { name: 'MIT', identifier: 'MIT' },
      },
      tags: [
        { name: 'turns', description: 'Taking turns' },
        { name: 'responses', description: "OpenAI's responses: turns by ids of their own" },
        { name: 'conversations', description: "OpenAI's conversations: sessions by ids of their own" },
        { name: 'sessions', description: 'Stored sessions' },
        { name: 'users', description: 'Users as a whole' },
        { name: 'node', description: 'Node, model and health' },
      ],
    },
    transformObject: (document) => namedSchemas((document as { openapiObject: OpenApiObject }).openapiObject),
  });
}

type TransformObject = NonNullable<FastifyDynamicSwaggerOptions['transformObject']>;
type OpenApiObject = Exclude<ReturnType<TransformObject>, { swagger?: string }>;

/** A schema with a title is a component of that name, so that a generated client has a type of that name. */
function namedSchemas(document: OpenApiObject): OpenApiObject {
  const schemas: Record<string, unknown> = {};
  const replace = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(replace);
    if (part === null || typeof part !== 'object') return part;
    const own = Object.fromEntries(Object.entries(part).map(([key, value]) => [key, replace(value)]));
    if (typeof own.title !== 'string') return own;
    const { title, ...schema } = own;
    if (title in schemas && JSON.stringify(schemas[title]) !== JSON.stringify(schema))
      throw new TypeError(`two schemas have the title ${title}`);
    schemas[title] = schema;
    return { $ref: `#/components/schemas/${title}` };
  };
  const paths = replace(document.paths) as OpenApiObject['paths'];
  return { ...document, paths, components: { ...document.components, schemas } } as OpenApiObject;
}
