import { DiscedgeError } from '../../domain/errors.ts';
import { NotHttp } from './http-reply.ts';

/** A kind of inference server: what messages call it, and how it says no. */
export interface ServerKind {
  readonly name: string;
  /** The DiscedgeError for a reply whose status is not 200; `body` is its JSON, if it is any. */
  errorOfReply(url: URL, status: number, body: unknown): DiscedgeError;
}

/** A server's message is a line; anything longer comes from something else. */
const MESSAGE_CHARS_MAX = 300;

/** As much of a server's message as is repeated. */
export function shortened(message: string): string {
  return message.slice(0, MESSAGE_CHARS_MAX);
}

/** The error for what the socket reports. */
export function brokenConnection({ name }: Pick<ServerKind, 'name'>, url: URL, cause: unknown): DiscedgeError {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (cause instanceof NotHttp) return badReply({ name }, url, `something that is not HTTP (${message})`);
  const reason = code ?? message;
  return new DiscedgeError('llm_unavailable', `The connection to ${name} at ${url.origin} failed (${reason}).`, {
    cause,
  });
}

/** `what` completes the sentence "NAME … answered with". */
export function badReply({ name }: Pick<ServerKind, 'name'>, url: URL, what: string): DiscedgeError {
  return new DiscedgeError('llm_bad_reply', `${name} at ${url.origin} answered with ${what}.`);
}

/** For 401 and 403. */
export function refusedKey({ name }: Pick<ServerKind, 'name'>, url: URL, status: number): DiscedgeError {
  return new DiscedgeError(
    'llm_unavailable',
    `${name} at ${url.origin} refused the API key (${status}); set the key it was started with.`,
  );
}

export function isClosed(): DiscedgeError {
  return new DiscedgeError('llm_unavailable', 'The LLM Service is closed.');
}
