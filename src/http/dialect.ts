import type { LimitHeaders } from './access/limit-headers.ts';
import { limitRequests } from './access/request-limits.ts';
import type { AppParts } from './app-parts.ts';
import { answerErrors, describeErrors, type ErrorEnvelope } from './error-reply.ts';
import type { TypedApp } from './typed-app.ts';

/**
 * An HTTP API over the same turns (DESIGN §2): a folder in `dialects/`, and a line in `app.ts`. It has a scope of its own:
 * what it hooks in and how it says errors is its own business. Turns go through `serveTurn`.
 */
export interface Dialect {
  /**
   * Path under which all its routes lie, unknown ones included, such as `/v1`. Empty for llama.cpp's alone, which shares
   * the root, and its errors, with the node's own routes.
   */
  readonly prefix: string;
  /** How it says that something went wrong, requests that its schemas refuse and routes that it does not have included. */
  readonly errors: ErrorEnvelope;
  /** How it tells what is left of limits. */
  readonly limitHeaders: LimitHeaders;
  /** Adds its routes, their paths without the prefix. */
  routes(app: TypedApp, parts: AppParts): void;
}

export async function addDialect(app: TypedApp, dialect: Dialect, parts: AppParts): Promise<void> {
  const { prefix, errors, limitHeaders: headers } = dialect;
  const { accounts, node } = parts;
  const { logger, clock } = node.environment;
  await app.register(
    async (scope: TypedApp) => {
      answerErrors(scope, { errors, logger, unknownRoutes: prefix !== '' });
      describeErrors(scope, errors);
      limitRequests(scope, { accounts, running: node.running, clock, headers });
      dialect.routes(scope, parts);
    },
    { prefix },
  );
}

/** The dialect whose path this is, that of the longest prefix: for errors that come before a route is found. */
export function dialectAt(url: string, dialects: readonly Dialect[]): Dialect | undefined {
  const path = url.split('?')[0] as string;
  const isUnder = ({ prefix }: Dialect) => prefix !== '' && (path === prefix || path.startsWith(`${prefix}/`));
  return dialects.filter(isUnder).sort((a, b) => b.prefix.length - a.prefix.length)[0];
}
