import { DiscedgeError } from '../../domain/errors.ts';
import { isDeeperThan } from '../../domain/json/json-depth.ts';

/** Levels of objects and arrays in a field of a request; JSON schemas, the deepest there are, go a dozen deep or two. */
const JSON_DEPTH_MAX = 64;

/** `invalid_request` for a body with a field that is nested deeper: whatever goes through it later may do so by recursion. */
export function depthFault(body: unknown): DiscedgeError | undefined {
  if (body === null || typeof body !== 'object') return undefined;
  const isDeep = (value: unknown) => isDeeperThan(value, JSON_DEPTH_MAX);
  const param = Array.isArray(body)
    ? placeOf(body, isDeep)
    : Object.entries(body).find(([, value]) => isDeep(value))?.[0];
  if (param === undefined) return undefined;
  return new DiscedgeError('invalid_request', `${param} is nested more than ${JSON_DEPTH_MAX} levels deep`, { param });
}

/** Of a list, whose elements may be millions, no copy is made. */
function placeOf(list: readonly unknown[], isMeant: (value: unknown) => boolean): string | undefined {
  const place = list.findIndex(isMeant);
  return place === -1 ? undefined : String(place);
}
