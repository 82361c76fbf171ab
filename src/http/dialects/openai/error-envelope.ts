import { Type } from 'typebox';
import { type DiscedgeError, ERROR_TABLE, type ErrorCode } from '../../../domain/errors.ts';
import type { ErrorEnvelope } from '../../error-reply.ts';
import { choice } from '../../requests/request-fields.ts';

/** Errors that OpenAI's clients know by its own code, and act upon. */
const OPENAI_CODES: Partial<Record<ErrorCode, string>> = {
  context_overflow: 'context_length_exceeded',
  unauthorized: 'invalid_api_key',
  rate_limited: 'rate_limit_exceeded',
  quota_exceeded: 'insufficient_quota',
};

const codeOf = (code: ErrorCode): string => OPENAI_CODES[code] ?? code;

/** OpenAI's words for whose fault it is. */
function typeOf(code: ErrorCode): string {
  const status = ERROR_TABLE[code].status ?? 500;
  if (status === 429) return 'rate_limit_error';
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}

/** An error body that says one of these. */
export const openAiErrorOf = (codes: readonly ErrorCode[]) =>
  Type.Object({
    error: Type.Object({
      message: Type.String(),
      type: choice([...new Set(codes.map(typeOf))]),
      param: Type.Union([Type.String(), Type.Null()], { description: 'The field at fault.' }),
      code: choice(codes.map(codeOf), {
        description:
          "A code of docs/errors.md; `context_length_exceeded`, `invalid_api_key`, `rate_limit_exceeded` and `insufficient_quota` are OpenAI's names for `context_overflow`, `unauthorized`, `rate_limited` and `quota_exceeded`.",
      }),
    }),
  });

/** OpenAI's error envelope; `code` is ours (docs/errors.md), or OpenAI's where its clients act upon that. */
export const openAiErrors: ErrorEnvelope = {
  schema: openAiErrorOf,
  body: (error) => ({ error: openAiErrorFields(error) }),
};

export function openAiErrorFields({ message, code, param }: DiscedgeError) {
  return { message, type: typeOf(code), param: param ?? null, code: codeOf(code) };
}
