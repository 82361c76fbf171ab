import { errors } from 'undici';
import { DiscedgeError } from '../../domain/errors.ts';

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

/** The error for what the socket, or undici in reading from it, reports. */
export function brokenConnection(
  { name }: Pick<ServerKind, 'name'>,
  url: URL,
  { cause, within }: { readonly cause: Error; readonly within: 'head' | 'body' },
): DiscedgeError {
  if (cause instanceof DiscedgeError) return cause;
  const { code, message } = cause as NodeJS.ErrnoException;
  if (isNotHttp(cause, within)) return badReply({ name }, url, `something that is not HTTP (${message})`);
  const reason = cause instanceof errors.UndiciError ? message : (code ?? message);
  return new DiscedgeError('llm_unavailable', `The connection to ${name} at ${url.origin} failed (${reason}).`, {
    cause,
  });
}

/** A body that is cut short was HTTP as far as it came. */
function isNotHttp(cause: Error, within: 'head' | 'body'): boolean {
  if (cause instanceof errors.HTTPParserError) return !cause.message.includes('Invalid EOF state');
  if (cause instanceof errors.ResponseContentLengthMismatchError) return within === 'head';
  return cause instanceof errors.HeadersOverflowError;
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
