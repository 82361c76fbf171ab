import { DiscedgeError } from '../../domain/errors.ts';
import { isDeeperThan } from '../../domain/json-depth.ts';

/** Levels of objects and arrays in a field of a request; JSON schemas, the deepest there are, go a dozen deep or two. */
const JSON_DEPTH_MAX = 64;

/** `invalid_request` for a body with a field that is nested deeper: whatever goes through it later may do so by recursion. */
export function depthFault(body: unknown): DiscedgeError | undefined {
  if (body === null || typeof body !== 'object') return undefined;
  const param = Object.entries(body).find(([, value]) => isDeeperThan(value, JSON_DEPTH_MAX))?.[0];
  if (param === undefined) return undefined;
  return new DiscedgeError('invalid_request', `${param} is nested more than ${JSON_DEPTH_MAX} levels deep`, { param });
}
