import type { IncomingHttpHeaders } from 'node:http';
import { DiscedgeError } from '../../../domain/errors.ts';
import type { TipRepeat } from '../../../domain/turn-decision.ts';

const KEY_CHARS_MAX = 255;

/**
 * Whether a client library sends a request again: by its own count of retries, or by the key that its user gave. Throws
 * `invalid_request` for a key that is too long.
 */
export function repeatOf(headers: IncomingHttpHeaders): TipRepeat {
  const key = headers['idempotency-key'];
  if (typeof key === 'string' && key !== '') {
    if (key.length > KEY_CHARS_MAX)
      throw new DiscedgeError('invalid_request', `idempotency-key has more than ${KEY_CHARS_MAX} characters`);
    return { key };
  }
  return Number(headers['x-stainless-retry-count'] ?? 0) > 0 ? 'repeated' : 'new';
}
