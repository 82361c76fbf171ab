import { Type } from 'typebox';
import type { DiscedgeError, ErrorCode } from '../../../domain/errors.ts';
import type { ErrorEnvelope } from '../../error-reply.ts';
import { choice } from '../../request-fields.ts';

/** An error body that says one of these. */
export const llamaCppErrorOf = (codes: readonly ErrorCode[]) =>
  Type.Object({
    error: Type.Object({
      code: Type.Integer({ description: 'The HTTP status.' }),
      message: Type.String(),
      type: choice(codes, { description: 'A code of docs/errors.md.' }),
      param: Type.Optional(Type.String({ description: 'The field at fault.' })),
    }),
  });

/** llama.cpp's error envelope, which the node's own routes have too: `code` is the HTTP status, `type` our code (docs/errors.md). */
export const llamaCppErrors: ErrorEnvelope = {
  schema: llamaCppErrorOf,

  body({ status, message, code, param }: DiscedgeError) {
    return { error: { code: status, message, type: code, ...(param !== undefined && { param }) } };
  },
};
