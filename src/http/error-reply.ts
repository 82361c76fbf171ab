import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { DiscedgeError, type ErrorCode } from '../domain/errors.ts';
import type { Logger } from '../environment/environment.ts';

/** llama.cpp's error envelope: `code` is the HTTP status, `type` is our code (docs/errors.md). */
export interface ErrorBody {
  readonly error: {
    readonly code: number;
    readonly message: string;
    readonly type: ErrorCode;
    readonly param?: string;
  };
}

/** Codes that say something about the node rather than about the request. */
const OPERATORS_CONCERN: ReadonlySet<ErrorCode> = new Set([
  ...(['llm_unavailable', 'llm_timeout', 'llm_bad_reply'] as const),
  ...(['store_unavailable', 'context_corrupt', 'internal_error'] as const),
]);

export function errorBody(error: DiscedgeError): ErrorBody {
  return {
    error: {
      code: error.status,
      message: error.message,
      type: error.code,
      ...(error.param === undefined ? {} : { param: error.param }),
    },
  };
}

/** The error replies of every route, for the OpenAPI document. */
export const ErrorReplySchema = Type.Object(
  {
    error: Type.Object({
      code: Type.Integer({ description: 'The HTTP status.' }),
      message: Type.String(),
      type: Type.String({ description: 'A code of docs/errors.md.' }),
      param: Type.Optional(Type.String({ description: 'The field at fault.' })),
    }),
  },
  { description: 'Headers `x-should-retry`, `x-request-id` and, where it is known, `retry-after-ms`.' },
);

/** Translates whatever a route throws; only a DiscedgeError's message reaches the client. */
export function asDiscedgeError(error: unknown, logger: Logger, request: FastifyRequest): DiscedgeError {
  if (error instanceof DiscedgeError) {
    if (OPERATORS_CONCERN.has(error.code)) logger.warn('request_failed', { request: request.id }, error);
    return error;
  }
  const known = error instanceof Error ? fromFastify(error as FastifyError) : undefined;
  if (known !== undefined) return known;
  logger.error('request_crashed', { request: request.id, route: request.routeOptions.url }, error);
  return new DiscedgeError('internal_error', `internal error; the node's log has it under request ${request.id}`, {
    cause: error,
  });
}

/** Sends an error with the headers stock clients obey: `x-should-retry`, `retry-after-ms`. */
export function sendError(reply: FastifyReply, error: DiscedgeError): void {
  reply.header('x-should-retry', String(error.retry));
  if (error.retryAfterMs !== undefined) {
    reply.header('retry-after-ms', String(error.retryAfterMs));
    reply.header('retry-after', String(Math.ceil(error.retryAfterMs / 1000)));
  }
  reply.status(error.status).send(errorBody(error));
}

/** Of the errors of a union the one that says more than that another type was expected too. */
function mostTelling(errors: NonNullable<FastifyError['validation']>) {
  return errors.find(({ keyword }) => keyword !== 'type' && keyword !== 'anyOf' && keyword !== 'required') ?? errors[0];
}

function fromFastify(error: FastifyError): DiscedgeError | undefined {
  if (error.validation !== undefined) {
    const first = mostTelling(error.validation);
    const missing = (first?.params.requiredProperties as string[] | undefined)?.[0];
    const param = missing ?? first?.instancePath.slice(1).replaceAll('/', '.') ?? '';
    const where = error.validationContext === 'querystring' ? 'query parameter ' : '';
    const allowed = first?.params.allowedValues as string[] | undefined;
    const wrong = allowed === undefined ? first?.message : `must be one of ${allowed.join(', ')}`;
    const message = `${where}${param || 'the body'} ${missing === undefined ? wrong : 'is missing'}`;
    return new DiscedgeError('invalid_request', message, { param: param || undefined });
  }
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new DiscedgeError('payload_too_large', 'the request body is larger than this node accepts');
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new DiscedgeError('unsupported_media_type', 'send JSON with the header content-type: application/json');
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new DiscedgeError('invalid_request', 'the request body is not valid JSON');
    default:
      if (error instanceof SyntaxError || (error.statusCode ?? 500) < 500)
        return new DiscedgeError('invalid_request', 'the request cannot be read');
      return undefined;
  }
}
