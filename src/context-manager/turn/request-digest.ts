import { createHash } from 'node:crypto';
import type { RequestDigest, TurnNumber } from '../../domain/identifiers.ts';
import type { TurnRequest } from './turn.ts';

/**
 * Names everything in a request that decides its reply, so that a repeated request is recognised wherever the record
 * has arrived. What only says how to answer (streaming, waiting, consistency, expiry, overflow) is left out:
 * a retry may change it.
 */
export function requestDigest(request: TurnRequest, turn: TurnNumber): RequestDigest {
  const decisive = [
    turn,
    request.mode ?? null,
    request.messages.map(({ role, content }) => [role, content]),
    request.maxTokens ?? null,
    request.stop,
    sorted(request.sampling),
  ];
  return createHash('sha256').update(JSON.stringify(decisive)).digest('hex').slice(0, 16) as RequestDigest;
}

/** Key order is the client's whim; JSON objects are compared without it. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}
