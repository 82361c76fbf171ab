import { DiscedgeError } from '../../domain/errors.ts';
import type { AppOptions } from '../app-parts.ts';

/** Throws `invalid_request` for more than this node allows. */
export function allowedTtl(
  seconds: number | undefined,
  { ttlSecondsMax }: Pick<AppOptions, 'ttlSecondsMax'>,
): number | undefined {
  if (seconds !== undefined && seconds > ttlSecondsMax) {
    throw new DiscedgeError('invalid_request', `ttl_seconds must be at most ${ttlSecondsMax} on this node`, {
      param: 'ttl_seconds',
    });
  }
  return seconds;
}
