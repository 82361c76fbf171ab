import { DiscedgeClientError } from './errors.ts';

/** Random, like a version 4 UUID; `crypto.randomUUID` is missing in browsers on plain http. */
export function newSessionId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The id, unless no URL can lead to it: then throws `invalid_use`. What else an id may be, the node decides. */
export function requireSessionId(sessionId: string): string {
  if (!['', '.', '..'].includes(sessionId)) return sessionId;
  throw new DiscedgeClientError(`a session id must not be "${sessionId}"; no URL leads to it`, {
    code: 'invalid_use',
    param: 'session_id',
  });
}
