import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Access } from '../../access/access.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import { isLoopbackHost } from '../../domain/loopback.ts';
import { ANYONE, type Principal, type Scope } from '../../domain/principals/principal.ts';

/**
 * Who may ask a route. `anyone`: what every load balancer may know. `user`: who has sessions, or acts for who has. `operator`:
 * what is the node's. `principal`: either of them.
 */
export type RouteAccess = 'anyone' | 'user' | 'operator' | 'principal';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who it comes from; {@link ANYONE} where nobody is asked; none of a request that was refused before that was known. */
    principal: Principal;
  }
  interface FastifyContextConfig {
    /** `user` where a route does not say. */
    access?: RouteAccess;
  }
}

const READING = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Has every request of the app asked who it comes from, but for those that anyone may send. */
export function askWhoCalls(app: FastifyInstance, access: Access): void {
  app.decorateRequest('principal');
  app.addHook('onRequest', (request, reply, done) => {
    const { access: need = 'user' } = request.routeOptions.config;
    const isAsked = access.asks && need !== 'anyone' && !request.is404;
    if (!isAsked) {
      request.principal = ANYONE;
      return done(access.asks ? undefined : foreignPage(access, request.headers));
    }
    const admit = (principal: Principal) => {
      request.principal = principal;
      done(faultOf(principal, need, request.method));
    };
    const refuse = (error: Error) => {
      // RFC 6750, section 3: a client is told what would be let in.
      reply.header('www-authenticate', 'Bearer realm="discedge"');
      done(error);
    };
    authenticate(access, request.headers, admit, refuse);
  });
}

function authenticate(
  access: Access,
  headers: IncomingHttpHeaders,
  admit: (principal: Principal) => void,
  refuse: (error: Error) => void,
): void {
  try {
    const principal = access.authenticate({ bearer: bearerOf(headers) });
    // A promise would cost every request with a key a turn of the loop.
    if (principal instanceof Promise) principal.then(admit, refuse);
    else admit(principal);
  } catch (error) {
    refuse(error as Error);
  }
}

/** Who opens a connection to take turns on, which the app does not see. Rejects as the app refuses. */
export async function whoCalls({ headers }: IncomingMessage, access: Access): Promise<Principal> {
  if (!access.asks) {
    const fault = foreignPage(access, headers);
    if (fault !== undefined) throw fault;
    return ANYONE;
  }
  const principal = await access.authenticate({ bearer: bearerOf(headers) });
  const fault = faultOf(principal, 'user', 'POST');
  if (fault !== undefined) throw fault;
  return principal;
}

/** OpenAI's header, or Anthropic's. */
function bearerOf({ authorization, 'x-api-key': key }: IncomingHttpHeaders): string | undefined {
  const [, bearer] = /^bearer +(\S+) *$/i.exec(authorization ?? '') ?? [];
  return bearer ?? (typeof key === 'string' ? key : undefined);
}

function faultOf({ scopes }: Principal, need: RouteAccess, method: string): DiscedgeError | undefined {
  if (scopes.has('read-only') && !READING.has(method))
    return new DiscedgeError('forbidden', 'this key may read, and change nothing');
  const isGood = need === 'anyone' || SCOPES_FOR[need].some((scope) => scopes.has(scope));
  return isGood
    ? undefined
    : new DiscedgeError('forbidden', `this needs a key with the scope ${SCOPES_FOR[need].join(' or ')}`);
}

const SCOPES_FOR: Readonly<Record<Exclude<RouteAccess, 'anyone'>, readonly Scope[]>> = {
  user: ['user', 'service'],
  operator: ['operator'],
  principal: ['user', 'service', 'operator'],
};

/**
 * A browser sends a page's requests to whichever address the page's own name resolves to, which its owner can make this
 * machine's; the name it names stays the page's.
 */
function foreignPage({ onlyLocal }: Access, { host }: IncomingHttpHeaders): DiscedgeError | undefined {
  const name = (host ?? '').replace(/:\d+$/, '').toLowerCase();
  if (!onlyLocal || host === undefined || isLoopbackHost(name)) return undefined;
  const message =
    'this node asks nobody who calls, and so is called by a name of this machine alone, such as localhost';
  return new DiscedgeError(
    'forbidden',
    `${message}; a proxy before it needs a key ("discedge keys create") or --serve-anyone`,
  );
}

export function isOperator(request: FastifyRequest): boolean {
  return request.principal.scopes.has('operator');
}
