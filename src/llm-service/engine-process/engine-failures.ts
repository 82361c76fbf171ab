import { DiscedgeError } from '../../domain/errors.ts';

/** A small model has been loaded again by then. */
const RETRY_AFTER_MS = 1_000;

/** Of calls that were under way. */
export function engineEnded(how: string): DiscedgeError {
  return new DiscedgeError(
    'llm_unavailable',
    `the process that llama.cpp runs in has ended (${how}) and is started again; nothing of this turn was stored`,
    { retryAfterMs: RETRY_AFTER_MS },
  );
}

export function endedAtStart(how: string): DiscedgeError {
  const message = `the process that loads the model has ended (${how}); if the system ended it, the model needs more memory than there is`;
  return new DiscedgeError('model_unusable', message);
}

export function engineHangs(waitedMs: number): DiscedgeError {
  const message = `the process that llama.cpp runs in says nothing for ${waitedMs} ms; nothing of this turn was stored`;
  return new DiscedgeError('llm_unavailable', message, { retryAfterMs: RETRY_AFTER_MS });
}
