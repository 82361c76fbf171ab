import { Type } from 'typebox';
import { DiscedgeError } from '../../../domain/errors.ts';
import type { TokenId } from '../../../domain/token-sequence.ts';
import type { AppParts } from '../../app-parts.ts';
import { clientGone } from '../../client-gone.ts';
import { ModelChoice } from '../../model-choice.ts';
import { tokenId } from '../../request-fields.ts';
import type { TypedApp } from '../../typed-app.ts';

/** Ids whose texts one request may ask for: each is a call of its own to the LLM Service. */
const PIECES_MAX = 4096;

/** llama.cpp's `/tokenize` and `/detokenize`. */
export function tokenizeRoutes(app: TypedApp, { models }: AppParts): void {
  app.post(
    '/tokenize',
    {
      schema: {
        tags: ['turns'],
        summary: 'Text to ids',
        body: Type.Object({
          ...ModelChoice,
          content: Type.String(),
          add_special: Type.Optional(
            Type.Boolean({ description: 'Begin with BOS where the model wants one; default false.' }),
          ),
          parse_special: Type.Optional(
            Type.Boolean({ description: 'Read control-token text as control tokens; default true.' }),
          ),
          with_pieces: Type.Optional(Type.Boolean({ description: 'Give the text of each id too; default false.' })),
        }),
      },
    },
    async ({ body }, reply) => {
      if (!body.content.isWellFormed()) {
        throw new DiscedgeError('invalid_request', 'content has half a surrogate pair: it is not Unicode text', {
          param: 'content',
        });
      }
      const { llm } = models.find(body.model);
      const ids = await llm.tokenize(body.content, { parseSpecial: body.parse_special ?? true });
      const { prependBos } = llm.description;
      if (body.add_special && prependBos !== undefined && ids[0] !== prependBos) ids.unshift(prependBos);
      if (!body.with_pieces) return { tokens: ids };
      if (ids.length > PIECES_MAX) {
        throw new DiscedgeError(
          'invalid_request',
          `with_pieces is for at most ${PIECES_MAX} ids; content has ${ids.length}`,
          {
            param: 'content',
          },
        );
      }
      const gone = clientGone(reply);
      const tokens: Array<{ id: TokenId; piece: string }> = [];
      for (const id of ids) {
        gone.throwIfAborted();
        tokens.push({ id, piece: await llm.detokenize([id]) });
      }
      return { tokens };
    },
  );

  app.post(
    '/detokenize',
    {
      schema: {
        tags: ['turns'],
        summary: 'Ids to text',
        body: Type.Object({ ...ModelChoice, tokens: Type.Array(tokenId()) }),
        response: { 200: Type.Object({ content: Type.String() }) },
      },
    },
    async ({ body }) => ({
      content: await models.find(body.model).llm.detokenize(body.tokens),
    }),
  );
}
