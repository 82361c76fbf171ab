import type { IncomingHttpHeaders } from 'node:http';
import { DiscedgeError } from '../../domain/errors.ts';
import type { TipRepeat } from '../../domain/session/turn-decision.ts';

/** A client library's own name for a request that it may send again. */
const IDEMPOTENCY_KEY_CHARS_MAX = 255;

/** `x-stainless-retry-count` is above 0 where OpenAI's and Anthropic's libraries send a request once more. Throws `invalid_request`. */
export function sentOf(headers: IncomingHttpHeaders): TipRepeat {
  const { 'idempotency-key': key, 'x-stainless-retry-count': retries } = headers;
  if (typeof key === 'string' && key !== '') {
    if (key.length <= IDEMPOTENCY_KEY_CHARS_MAX) return { key };
    throw new DiscedgeError(
      'invalid_request',
      `the header idempotency-key has up to ${IDEMPOTENCY_KEY_CHARS_MAX} characters`,
      { param: 'idempotency-key' },
    );
  }
  return typeof retries === 'string' && Number(retries) > 0 ? 'repeated' : 'new';
}
