import { Type } from 'typebox';
import { type DiscedgeError, ERROR_TABLE, type ErrorCode } from '../../../domain/errors.ts';
import type { ErrorEnvelope } from '../../error-reply.ts';
import { choice } from '../../requests/request-fields.ts';

/** Anthropic's words for what went wrong, by status; the others are an `invalid_request_error` or an `api_error`. */
const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
};

function typeOf(code: ErrorCode): string {
  const status = ERROR_TABLE[code].status ?? 500;
  return TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error');
}

/** An error body that says one of these. */
export const anthropicErrorOf = (codes: readonly ErrorCode[]) =>
  Type.Object({
    type: choice(['error']),
    error: Type.Object({
      type: choice([...new Set(codes.map(typeOf))]),
      message: Type.String(),
      code: choice(codes, { description: 'A code of docs/errors.md.' }),
      param: Type.Union([Type.String(), Type.Null()], { description: 'The field at fault.' }),
    }),
  });

/** Anthropic's error envelope, with our code and the field at fault beside its own words. */
export const anthropicErrors: ErrorEnvelope = { schema: anthropicErrorOf, body: anthropicError };

export function anthropicError({ message, code, param }: DiscedgeError) {
  return { type: 'error', error: { type: typeOf(code), message, code, param: param ?? null } };
}
