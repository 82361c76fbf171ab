import type { FastifyRequest } from 'fastify';
import { DiscedgeError } from '../../../domain/errors.ts';
import { requireKnown } from '../../requests/parameters.ts';
import type { TypedApp } from '../../typed-app.ts';
import { requireIncludable } from './included.ts';

/** Fields whose contents say themselves where they cannot be read, in a request's own words for its places. */
const TOLD_BY_PLACE: ReadonlySet<string> = new Set(['messages', 'input', 'items']);

/**
 * In this scope nothing that is sent is passed over in silence: a parameter of the URL that the route does not know, or what it cannot
 * include, is refused by name, as a field of a body is, and so is text that is not Unicode, wherever it stands.
 */
export function refuseUnheard(app: TypedApp): void {
  app.addHook('preValidation', (request, _reply, done) => {
    try {
      requireKnownQuery(request);
      const at = brokenTextIn(request.body);
      if (at !== undefined) {
        const message = `${at} has half a surrogate pair: it is not Unicode text`;
        throw new DiscedgeError('invalid_request', message, { param: at });
      }
      done();
    } catch (error) {
      done(error as Error);
    }
  });
}

function requireKnownQuery({ query, routeOptions }: FastifyRequest): void {
  const { properties = {} } = (routeOptions.schema?.querystring ?? {}) as { properties?: object };
  const known = Object.keys(properties);
  // Lists are sent under such a name.
  const lists = known.map((name) => `${name}[]`);
  requireKnown(query as object, { known: [...known, ...lists], refused: {} });
  requireIncludable(query as Readonly<Record<string, unknown>>);
}

/** The place of the first key or text that has half a surrogate pair; `undefined` where none has. */
function brokenTextIn(body: unknown): string | undefined {
  if (body === null || typeof body !== 'object') return undefined;
  const fields = Object.entries(body).filter(([name]) => !TOLD_BY_PLACE.has(name));
  const left: [string, unknown][] = fields.reverse();
  for (let one = left.pop(); one !== undefined; one = left.pop()) {
    const [at, value] = one;
    if (!at.isWellFormed()) return at.toWellFormed();
    if (typeof value === 'string' && !value.isWellFormed()) return at;
    if (value === null || typeof value !== 'object') continue;
    for (const [name, inner] of Object.entries(value).reverse()) left.push([`${at}.${name}`, inner]);
  }
  return undefined;
}
