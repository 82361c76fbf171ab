import { Type } from 'typebox';
import type { DiscedgeError, ErrorCode } from '../../../domain/errors.ts';
import type { ErrorEnvelope } from '../../error-reply.ts';
import { choice } from '../../requests/request-fields.ts';

/** Errors that llama.cpp's clients know by its own type, and act upon. */
const LLAMA_CPP_TYPES: Partial<Record<ErrorCode, string>> = { context_overflow: 'exceed_context_size_error' };

const typeOf = (code: ErrorCode): string => LLAMA_CPP_TYPES[code] ?? code;

/** An error body that says one of these. */
export const llamaCppErrorOf = (codes: readonly ErrorCode[]) =>
  Type.Object({
    error: Type.Object({
      code: Type.Integer({ description: 'The HTTP status.' }),
      message: Type.String(),
      type: choice(codes.map(typeOf), {
        description:
          "A code of docs/errors.md; `exceed_context_size_error` is llama.cpp's name for `context_overflow`.",
      }),
      param: Type.Optional(Type.String({ description: 'The field at fault.' })),
      n_prompt_tokens: Type.Optional(Type.Integer({ description: 'Ids of a prompt that is too long.' })),
      n_ctx: Type.Optional(Type.Integer({ description: 'Ids that prompt and reply may have together.' })),
    }),
  });

/**
 * llama.cpp's error envelope, which the node's own routes have too: `code` is the HTTP status, `type` our code
 * (docs/errors.md), or llama.cpp's where its clients act upon that.
 */
export const llamaCppErrors: ErrorEnvelope = {
  schema: llamaCppErrorOf,

  body: (error) => ({ error: errorFields(error) }),
};

export function errorFields({ status, message, code, param, overflow }: DiscedgeError) {
  const lengths = overflow && { n_prompt_tokens: overflow.promptTokens, n_ctx: overflow.windowTokens };
  return { code: status, message, type: typeOf(code), ...(param !== undefined && { param }), ...lengths };
}
