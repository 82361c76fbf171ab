import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';
import { LIMIT_HEADER_NAMES } from './limit-headers.ts';

/** What clients read of an answer beside its body: when and whether to ask again, and what to look for in the log. */
const EXPOSED_HEADERS = [
  'x-request-id',
  'x-should-retry',
  'retry-after',
  'retry-after-ms',
  'allow',
  ...LIMIT_HEADER_NAMES,
];
/** Seconds for which a browser need not ask again; longer than this most do not take. */
const PREFLIGHT_SECONDS = 600;

/**
 * Lets pages of these origins, `*` for any, call the API from a browser. To be called before there are routes and hooks, so that
 * errors can be read too. No credentials: a node knows neither cookies nor passwords of browsers.
 */
export async function allowOrigins(app: FastifyInstance, origins: readonly string[]): Promise<void> {
  if (origins.length === 0) return;
  await app.register(cors, {
    origin: origins.includes('*') ? '*' : [...origins],
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: EXPOSED_HEADERS,
    maxAge: PREFLIGHT_SECONDS,
    credentials: false,
    strictPreflight: false,
    hideOptionsRoute: true,
  });
}
