import { isUtf8 } from 'node:buffer';
import type { ServerOptions } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { DiscedgeError } from '../domain/errors.ts';
import { noteActs } from './access/audited-requests.ts';
import { allowOrigins } from './access/cross-origin.ts';
import { askWhoCalls } from './access/request-access.ts';
import { limitRequests } from './access/request-limits.ts';
import type { AppParts } from './app-parts.ts';
import { BrokenRequests } from './connections/broken-requests.ts';
import { closeWithoutRequests } from './connections/open-connections.ts';
import { cutOffSlowReaders } from './connections/slow-readers.ts';
import { tlsServerOptions } from './connections/tls-server.ts';
import { addDialect, type Dialect, dialectAt } from './dialect.ts';
import { anthropic } from './dialects/anthropic/anthropic.ts';
import { llamaCpp } from './dialects/llama-cpp/llama-cpp.ts';
import { openAi } from './dialects/openai/openai.ts';
import { answerErrors, answerUnknownRoutes, asDiscedgeError, describeErrors, sendError } from './error-reply.ts';
import { describeRoutes } from './openapi.ts';
import { compressionFault } from './requests/compressed-body.ts';
import { depthFault } from './requests/json-depth.ts';
import { KnownPaths } from './requests/known-paths.ts';
import { leaveOutNothing } from './requests/left-out.ts';
import { checkBySchema } from './requests/schema-check.ts';
import { importRoutes } from './routes/imports.ts';
import { lifetimeRoutes } from './routes/lifetimes.ts';
import { moveSessionRoute } from './routes/move-session.ts';
import { nodeRoutes } from './routes/node.ts';
import { directoryRoutes } from './routes/nodes.ts';
import { preferencesRoutes } from './routes/preferences.ts';
import { sessionRoutes } from './routes/sessions.ts';
import { userImportRoute } from './routes/user-import.ts';
import { userRoutes } from './routes/users.ts';
import type { TypedApp } from './typed-app.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Bytes of the request body as they came. */
    bodyBytes: number;
  }
}

/** Longest time a client may take to send a whole request: frees sockets of stalled clients. */
const REQUEST_TIMEOUT_MS = 60_000;
/** A session id of 128 bytes, every byte percent-encoded. */
const PATH_PARAMETER_CHARS_MAX = 384;

export type App = FastifyInstance;

/** The APIs that a node speaks beside its own routes. */
export const DIALECTS: readonly Dialect[] = [llamaCpp, openAi, anthropic];

/** The HTTP API of one edge node (DESIGN §10). Does not listen yet. */
export async function createApp(parts: AppParts, dialects = DIALECTS): Promise<App> {
  const { options } = parts;
  const { environment } = parts.node;
  const broken = new BrokenRequests(llamaCpp.errors, environment.random);
  const app = Fastify({
    logger: false,
    bodyLimit: options.bodyBytesMax,
    requestTimeout: REQUEST_TIMEOUT_MS,
    routerOptions: { maxParamLength: PATH_PARAMETER_CHARS_MAX, ignoreTrailingSlash: true },
    ...serverOptions(parts.tls),
    clientErrorHandler: (error, socket) => broken.answer(error, socket),
    // Fastify's own answer is not in the API's form; the Context Manager refuses what comes too late.
    return503OnClosing: false,
    // A serializer made of the schema leaves out what the schema does not name, without a word. Given here rather than set
    // later, they keep Fastify from loading its own.
    schemaController: {
      compilersFactory: {
        buildValidator: () => checkBySchema as never,
        buildSerializer: () => () => (reply: unknown) => JSON.stringify(reply),
      },
    },
    genReqId: () => environment.random.uuid(),
    frameworkErrors: (error, request, reply) => {
      reply.header('x-request-id', request.id);
      const { errors } = dialectAt(request.url, dialects) ?? llamaCpp;
      sendError(reply, asDiscedgeError(error, environment.logger, request), errors);
    },
  }).withTypeProvider<TypeBoxTypeProvider>();

  await allowOrigins(app, options.corsOrigins);
  app.decorateRequest('bodyBytes', 0);
  app.decorateRequest('account', undefined);
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    done(headFault(request));
  });
  const paths = new KnownPaths();
  paths.watch(app);
  answerUnknownRoutes(app, paths);
  askWhoCalls(app, parts.access);
  if (parts.audit !== undefined) noteActs(app, parts.audit, environment.clock);
  broken.watch(app);
  closeWithoutRequests(app);
  cutOffSlowReaders(app);
  app.server.maxConnections = options.connectionsMax;
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser(['application/json', 'text/plain']);
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    request.bodyBytes = body.length;
    // OpenAI's client for Python names the type of a body that it does not send, with DELETE and with cancel.
    if (body.length === 0) {
      done(null);
      return;
    }
    const fault = compressionFault(request.headers) ?? utf8Fault(body);
    if (fault !== undefined) {
      done(fault);
      return;
    }
    parseJson(request, body.toString('utf8'), (error, parsed) => done(error ?? depthFault(parsed) ?? null, parsed));
  });
  answerErrors(app, { errors: llamaCpp.errors, logger: environment.logger, unknownRoutes: true });
  app.addHook('onResponse', (request, reply, done) => {
    environment.logger.debug('request_answered', {
      request: request.id,
      route: `${request.method} ${request.routeOptions.url ?? '(none)'}`,
      status: reply.statusCode,
      elapsedMs: Math.round(reply.elapsedTime),
    });
    done();
  });
  await describeRoutes(app, options.version);
  await app.register(async (scope: TypedApp) => {
    describeErrors(scope, llamaCpp.errors);
    const { running } = parts.node;
    const { clock } = environment;
    limitRequests(scope, { accounts: parts.accounts, running, clock, headers: llamaCpp.limitHeaders });
    leaveOutNothing(scope);
    sessionRoutes(scope, parts);
    importRoutes(scope, parts);
    moveSessionRoute(scope, parts);
    userRoutes(scope, parts);
    await scope.register(async (own: TypedApp) => userImportRoute(own, parts));
    preferencesRoutes(scope, parts);
    lifetimeRoutes(scope, parts);
    nodeRoutes(scope, parts);
    directoryRoutes(scope, parts);
    scope.get('/openapi.json', { config: { access: 'anyone' }, schema: { hide: true } }, async () => app.swagger());
  });
  for (const dialect of dialects) await addDialect(app, dialect, parts);
  await app.ready();
  return app;
}

/** The host header is asked for above: Node.js would answer without a body. */
function serverOptions(tls: AppParts['tls']): { http: ServerOptions } {
  const requireHostHeader = false;
  if (tls === undefined) return { http: { requireHostHeader } };
  // A server of HTTPS is one of HTTP in all that is used here, which Fastify's types do not know.
  return { https: { requireHostHeader, ...tlsServerOptions(tls) } } as unknown as { http: ServerOptions };
}

/** What is wrong with a request before its body. */
function headFault({ headers, raw, url }: FastifyRequest): DiscedgeError | undefined {
  if (headers.host === undefined && raw.httpVersion !== '1.0') {
    return new DiscedgeError('invalid_request', 'the header host is missing');
  }
  // What cannot be decoded would be taken as it stands.
  if (isDecodable(url.slice(url.indexOf('?') + 1))) return undefined;
  return new DiscedgeError('invalid_request', 'the query is not percent-encoded UTF-8');
}

function utf8Fault(body: Buffer): DiscedgeError | undefined {
  return isUtf8(body) ? undefined : new DiscedgeError('invalid_request', 'the request body is not UTF-8');
}

function isDecodable(text: string): boolean {
  if (!text.includes('%')) return true;
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
