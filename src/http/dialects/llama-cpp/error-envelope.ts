import { Type } from 'typebox';
import type { DiscedgeError } from '../../../domain/errors.ts';
import type { ErrorEnvelope } from '../../error-reply.ts';

/** llama.cpp's error envelope, which the node's own routes have too: `code` is the HTTP status, `type` our code (docs/errors.md). */
export const llamaCppErrors: ErrorEnvelope = {
  schema: Type.Object(
    {
      error: Type.Object({
        code: Type.Integer({ description: 'The HTTP status.' }),
        message: Type.String(),
        type: Type.String({ description: 'A code of docs/errors.md.' }),
        param: Type.Optional(Type.String({ description: 'The field at fault.' })),
      }),
    },
    { description: 'Headers `x-should-retry`, `x-request-id` and, where it is known, `retry-after-ms`.' },
  ),

  body({ status, message, code, param }: DiscedgeError) {
    return { error: { code: status, message, type: code, ...(param !== undefined && { param }) } };
  },
};
