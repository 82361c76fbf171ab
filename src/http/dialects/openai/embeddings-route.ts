import { type Static, Type } from 'typebox';
import type { TokenSequence } from '../../../domain/token-sequence.ts';
import type { AppParts } from '../../app-parts.ts';
import { clientGone } from '../../connections/client-gone.ts';
import { OF_A_MODEL } from '../../possible-errors.ts';
import { ModelChoice } from '../../requests/model-choice.ts';
import { type Parameters, requireKnown } from '../../requests/parameters.ts';
import { choice, modelText, tokenId } from '../../requests/request-fields.ts';
import type { TypedApp } from '../../typed-app.ts';

/** Texts in one request: they are read by one engine, one after the other. */
const INPUTS_MAX = 256;

const ids = () => Type.Array(tokenId(), { minItems: 1 });

const EmbeddingsBody = Type.Object(
  {
    ...ModelChoice,
    input: Type.Union(
      [
        modelText(),
        Type.Array(modelText(), { minItems: 1, maxItems: INPUTS_MAX }),
        ids(),
        Type.Array(ids(), { minItems: 1, maxItems: INPUTS_MAX }),
      ],
      { description: 'A text, several, ids, or several lists of ids.' },
    ),
    encoding_format: Type.Optional(
      choice(['float', 'base64'], { description: 'base64: of 32-bit numbers, the lowest byte first.' }),
    ),
    user: Type.Optional(Type.String({ description: 'Not looked at: nothing is kept.' })),
  },
  { additionalProperties: true, title: 'EmbeddingsRequest' },
);

const PARAMETERS: Parameters = {
  known: Object.keys(EmbeddingsBody.properties),
  refused: { dimensions: 'vectors are as long as the model makes them' },
};

const Embeddings = Type.Object(
  {
    object: choice(['list']),
    model: Type.String(),
    data: Type.Array(
      Type.Object({
        object: choice(['embedding']),
        index: Type.Integer({ minimum: 0 }),
        embedding: Type.Union([Type.Array(Type.Number()), Type.String()]),
      }),
    ),
    usage: Type.Object({ prompt_tokens: Type.Integer({ minimum: 0 }), total_tokens: Type.Integer({ minimum: 0 }) }),
  },
  { title: 'Embeddings' },
);

/** OpenAI's embeddings, of models whose engine makes them. */
export function embeddingsRoute(app: TypedApp, { models }: AppParts): void {
  app.post(
    '/embeddings',
    {
      config: { isTurn: true },
      schema: {
        operationId: 'createEmbeddings',
        tags: ['turns'],
        summary: 'Vectors of texts, where the engine of the model makes them',
        body: EmbeddingsBody,
        response: { 200: Embeddings },
        errors: [...OF_A_MODEL, 'unsupported_parameter', 'context_overflow', 'overloaded', 'shutting_down'],
      },
    },
    async ({ body, account }, reply) => {
      requireKnown(body, PARAMETERS);
      const { name: model, contextManager } = models.find(body.model);
      const { vectors, promptTokens } = await contextManager.embed(inputsOf(body), {
        gone: clientGone(reply),
        account,
      });
      const isBase64 = body.encoding_format === 'base64';
      return {
        object: 'list' as const,
        model,
        data: vectors.map((vector, index) => ({
          object: 'embedding' as const,
          index,
          embedding: isBase64 ? base64Of(vector) : [...vector],
        })),
        usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
      };
    },
  );
}

/** A list of numbers is one input, any other several. */
function inputsOf({ input }: Static<typeof EmbeddingsBody>): readonly (string | TokenSequence)[] {
  if (typeof input === 'string') return [input];
  return typeof input[0] === 'number' ? [input as TokenSequence] : (input as readonly (string | TokenSequence)[]);
}

function base64Of(vector: readonly number[]): string {
  const bytes = Buffer.alloc(4 * vector.length);
  for (const [at, value] of vector.entries()) bytes.writeFloatLE(value, 4 * at);
  return bytes.toString('base64');
}
