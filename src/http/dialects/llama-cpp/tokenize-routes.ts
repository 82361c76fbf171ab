import { isUtf8 } from 'node:buffer';
import { Type } from 'typebox';
import { DiscedgeError } from '../../../domain/errors.ts';
import { appendTokens, TOKEN_ID_MAX, type TokenId, type TokenSequence } from '../../../domain/token-sequence.ts';
import type { LlmService } from '../../../llm-service/llm-service.ts';
import type { AppParts } from '../../app-parts.ts';
import { OF_A_MODEL } from '../../possible-errors.ts';
import { ModelChoice } from '../../requests/model-choice.ts';
import { tokenId } from '../../requests/request-fields.ts';
import type { TypedApp } from '../../typed-app.ts';

/** Ids whose pieces one request may ask for: each is looked up by itself, tens of thousands in some milliseconds. */
const PIECES_MAX = 65_536;

const Id = Type.Integer({ minimum: 0, maximum: TOKEN_ID_MAX });
const Piece = Type.Union([Type.String(), Type.Array(Type.Integer({ minimum: 0, maximum: 255 }))], {
  description: 'Text, or bytes where they are no text by themselves.',
});

const TokenizeBody = Type.Object({
  ...ModelChoice,
  content: Type.Optional(
    Type.Union([Type.String(), Type.Array(Type.Union([Type.String(), tokenId()]))], {
      description: 'Text, or texts and ids in order; ids stand for themselves.',
    }),
  ),
  add_special: Type.Optional(Type.Boolean({ description: 'Begin with BOS where the model wants one; default false.' })),
  parse_special: Type.Optional(
    Type.Boolean({ description: 'Read control-token text as control tokens; default true.' }),
  ),
  with_pieces: Type.Optional(Type.Boolean({ description: 'Give the piece of each id too; default false.' })),
});

const TokenizeReply = Type.Object({
  tokens: Type.Array(Type.Union([Id, Type.Object({ id: Id, piece: Piece })]), {
    description: 'Ids; objects with `with_pieces`.',
  }),
});

/** llama.cpp's `/tokenize` and `/detokenize`. */
export function tokenizeRoutes(app: TypedApp, { models }: AppParts): void {
  app.post(
    '/tokenize',
    {
      schema: {
        operationId: 'tokenize',
        tags: ['turns'],
        summary: 'Text to ids',
        body: TokenizeBody,
        response: { 200: TokenizeReply },
        errors: OF_A_MODEL,
      },
    },
    async ({ body }) => {
      const { llm } = models.find(body.model);
      const { content = '', add_special: addSpecial = false, parse_special: parseSpecial = true } = body;
      const ids = await idsOf(typeof content === 'string' ? [content] : content, llm, parseSpecial);
      const { prependBos } = llm.description;
      if (addSpecial && prependBos !== undefined && ids[0] !== prependBos) ids.unshift(prependBos);
      if (!body.with_pieces) return { tokens: ids };
      if (ids.length > PIECES_MAX) {
        throw invalid(`with_pieces is for at most ${PIECES_MAX} ids; content has ${ids.length}`);
      }
      const pieces = await llm.pieces(ids);
      return { tokens: ids.map((id, at) => ({ id, piece: pieceOf(pieces[at] as Uint8Array) })) };
    },
  );

  app.post(
    '/detokenize',
    {
      schema: {
        operationId: 'detokenize',
        tags: ['turns'],
        summary: 'Ids to text, control tokens spelled out',
        errors: OF_A_MODEL,
        body: Type.Object({ ...ModelChoice, tokens: Type.Optional(Type.Array(tokenId())) }),
        response: { 200: Type.Object({ content: Type.String() }) },
      },
    },
    async ({ body: { model, tokens = [] } }) => ({
      content: await models.find(model).llm.detokenize(tokens, { special: true }),
    }),
  );
}

async function idsOf(
  content: ReadonlyArray<string | TokenId>,
  llm: LlmService,
  parseSpecial: boolean,
): Promise<TokenId[]> {
  const ids: TokenId[] = [];
  for (const part of content) {
    if (typeof part === 'number') ids.push(part);
    else appendTokens(ids, await textIds(part, llm, parseSpecial));
  }
  return ids;
}

async function textIds(text: string, llm: LlmService, parseSpecial: boolean): Promise<TokenSequence> {
  if (!text.isWellFormed()) throw invalid('content has half a surrogate pair: it is not Unicode text');
  return llm.tokenize(text, { parseSpecial });
}

function pieceOf(bytes: Uint8Array): string | number[] {
  return isUtf8(bytes) ? Buffer.from(bytes).toString('utf8') : [...bytes];
}

function invalid(message: string): DiscedgeError {
  return new DiscedgeError('invalid_request', message, { param: 'content' });
}
