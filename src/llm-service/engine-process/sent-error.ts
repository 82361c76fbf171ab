import { DiscedgeError } from '../../domain/errors.ts';
import type { SentError } from './messages.ts';

/** Causes beyond this many are left out: a chain may lead back to itself. */
const CAUSES_MAX = 4;

export function sentError(error: unknown, causesMax = CAUSES_MAX): SentError {
  const { name, message, stack, cause } = error instanceof Error ? error : new Error(String(error));
  const known = error instanceof DiscedgeError ? error : undefined;
  return {
    code: known?.code,
    name,
    message,
    param: known?.param,
    retryAfterMs: known?.retryAfterMs,
    overflow: known?.overflow,
    stack,
    cause: cause === undefined || causesMax === 0 ? undefined : sentError(cause, causesMax - 1),
  };
}

/** The error as it was thrown in the other process, with the stack that it had there. */
export function receivedError(sent: SentError): Error {
  const { code, name, message, param, retryAfterMs, overflow, stack } = sent;
  const cause = sent.cause && receivedError(sent.cause);
  const error =
    code === undefined
      ? Object.assign(new Error(message, { cause }), { name })
      : new DiscedgeError(code, message, { param, retryAfterMs, overflow, cause });
  return Object.assign(error, { stack });
}
