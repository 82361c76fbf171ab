import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { TSchema } from 'typebox';
import { DiscedgeError, ERROR_TABLE, type ErrorCode } from '../domain/errors.ts';
import { ID_PATTERN, ID_RULE } from '../domain/identifiers.ts';
import type { Logger } from '../environment/environment.ts';
import { OF_A_BODY, OF_A_PRINCIPAL, OF_ANY_REQUEST } from './possible-errors.ts';
import type { KnownPaths } from './requests/known-paths.ts';
import type { TypedApp } from './typed-app.ts';

/** How an API says that something went wrong. */
export interface ErrorEnvelope {
  /** Of a body that says one of these, for the OpenAPI document. */
  schema(codes: readonly ErrorCode[]): TSchema;
  body(error: DiscedgeError): object;
}

const ERROR_HEADERS = {
  'x-request-id': { type: 'string', description: "Under which the node's log has the details." },
  'x-should-retry': { type: 'string', enum: ['true', 'false'], description: 'Whether the same request can succeed.' },
};
const RETRY_HEADERS = {
  'retry-after': { type: 'string', description: 'Seconds after which a retry makes sense, where that is known.' },
  'retry-after-ms': { type: 'string', description: 'The same in milliseconds.' },
};

/** Codes that say something about the node rather than about the request. */
const OPERATORS_CONCERN: ReadonlySet<ErrorCode> = new Set([
  ...(['llm_unavailable', 'llm_timeout', 'llm_bad_reply'] as const),
  ...(['store_unavailable', 'context_corrupt', 'internal_error'] as const),
]);

/**
 * Answers whatever goes wrong in a scope, in its envelope. With `unknownRoutes` the routes that it does not have as well,
 * which needs a prefix that no other scope has.
 */
export function answerErrors(
  app: TypedApp,
  { errors, logger, unknownRoutes }: { errors: ErrorEnvelope; logger: Logger; unknownRoutes: boolean },
): void {
  app.setErrorHandler((error, request, reply) => sendError(reply, asDiscedgeError(error, logger, request), errors));
  // Not called, see below; but it is what gives unknown routes of this scope its error handler.
  if (unknownRoutes) app.setNotFoundHandler(() => {});
}

/** Answers what no route takes, before the body is looked at; scopes say it in their own envelope. */
export function answerUnknownRoutes(app: FastifyInstance, paths: KnownPaths): void {
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.is404) return done();
    const path = request.url.split('?')[0] as string;
    const allow = paths.allowedAt(path);
    if (allow === undefined)
      return done(new DiscedgeError('route_not_found', `no route ${request.method} ${path}; see /openapi.json`));
    reply.header('allow', allow);
    if (request.method === 'OPTIONS') return void reply.status(204).send();
    done(new DiscedgeError('method_not_allowed', `${path} has no ${request.method}, but ${allow}`));
  });
}

/** Adds to the replies of the scope's routes what can go wrong: what their schemas name, and what can in any request. */
export function describeErrors(app: TypedApp, envelope: ErrorEnvelope): void {
  app.addHook('onRoute', ({ method, schema, config }) => {
    if (schema === undefined) return;
    const isAsked = config?.access !== 'anyone';
    const isRead = [method].flat().every((one) => one === 'GET' || one === 'HEAD');
    const codes = [
      ...OF_ANY_REQUEST,
      ...(isAsked ? OF_A_PRINCIPAL : []),
      ...(isRead ? [] : OF_A_BODY),
      ...(schema.errors ?? []),
    ];
    const byStatus: Record<number, ErrorCode[]> = {};
    for (const code of new Set(codes)) {
      const status = ERROR_TABLE[code].status ?? 500;
      byStatus[status] = [...(byStatus[status] ?? []), code];
    }
    const errors = Object.entries(byStatus).map(([status, given]) => [status, errorReply(envelope, given)]);
    schema.response = { ...(schema.response as object), ...Object.fromEntries(errors) };
  });
}

function errorReply(envelope: ErrorEnvelope, codes: readonly ErrorCode[]): TSchema {
  const description = codes.map((code) => `\`${code}\`: ${ERROR_TABLE[code].meaning}`).join('\n\n');
  const headers = codes.some((code) => ERROR_TABLE[code].retry)
    ? { ...ERROR_HEADERS, ...RETRY_HEADERS }
    : ERROR_HEADERS;
  return { ...envelope.schema(codes), description, headers };
}

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
export function sendError(reply: FastifyReply, error: DiscedgeError, envelope: ErrorEnvelope): void {
  reply.status(error.status).headers(errorHeaders(error)).send(envelope.body(error));
}

export function errorHeaders({ retry, retryAfterMs }: DiscedgeError): Record<string, string> {
  return {
    'x-should-retry': String(retry),
    ...(retryAfterMs !== undefined && {
      'retry-after-ms': String(retryAfterMs),
      'retry-after': String(Math.ceil(retryAfterMs / 1000)),
    }),
  };
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
    const rule = first?.params.pattern === ID_PATTERN ? ID_RULE : first?.message;
    const wrong = allowed === undefined ? rule : `must be one of ${allowed.join(', ')}`;
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
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new DiscedgeError('invalid_request', 'a part of the path is longer than any id');
    default:
      if (error instanceof SyntaxError || (error.statusCode ?? 500) < 500)
        return new DiscedgeError('invalid_request', 'the request cannot be read');
      return undefined;
  }
}
