import { isDeeperThan } from '../domain/json-depth.ts';

/** Levels of objects and arrays in a field of a request; JSON schemas, the deepest there are, go a dozen deep or two. */
export const JSON_DEPTH_MAX = 64;

/** The first field of a body that is nested deeper: whatever goes through it later may do so by recursion. */
export function tooDeepField(body: unknown): string | undefined {
  if (body === null || typeof body !== 'object') return undefined;
  return Object.entries(body).find(([, value]) => isDeeperThan(value, JSON_DEPTH_MAX))?.[0];
}
