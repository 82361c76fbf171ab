import { type ContextOverflow, DiscedgeError } from '../../domain/errors.ts';
import { badReply as badReplyOf, refusedKey, type ServerKind, shortened } from '../http/server-errors.ts';

/** What the connection to one needs to know. */
export const LLAMA_SERVER: ServerKind = { name: 'llama-server', errorOfReply };

/** `what` completes the sentence "llama-server … answered with". */
export function badReply(url: URL, what: string): DiscedgeError {
  return badReplyOf(LLAMA_SERVER, url, what);
}

export function servesAnotherModel(url: URL): DiscedgeError {
  return new DiscedgeError(
    'llm_unavailable',
    `llama-server at ${url.origin} now serves another model, context size or number of slots than when this node ` +
      'started; restart this node, or the server as it was.',
  );
}

/**
 * The DiscedgeError for llama-server's `{"error": {code, message, type}}`, and for replies of things in front of it that
 * only have a status.
 */
export function errorOfReply(url: URL, status: number, body: unknown): DiscedgeError {
  const { message, type, overflow } = readError(body);
  const said = `llama-server at ${url.origin} answered ${status}${message === undefined ? '' : `: ${message}`}`;
  if (status === 400) {
    return type === 'exceed_context_size_error'
      ? new DiscedgeError('context_overflow', "The prompt is longer than llama-server's context window.", { overflow })
      : new DiscedgeError('invalid_request', message ?? said);
  }
  // What it was not started for.
  if (status === 501) return new DiscedgeError('unsupported_parameter', message ?? said, { param: 'model' });
  if (status === 401 || status === 403) return refusedKey(LLAMA_SERVER, url, status);
  return status >= 500
    ? new DiscedgeError('llm_unavailable', said)
    : new DiscedgeError('llm_bad_reply', `${said}; is it a llama-server?`);
}

interface ServerError {
  readonly message: string | undefined;
  readonly type: unknown;
  readonly overflow: ContextOverflow | undefined;
}

function readError(body: unknown): ServerError {
  const { error } = (body ?? {}) as { error?: Record<string, unknown> };
  const { n_prompt_tokens: promptTokens, n_ctx: windowTokens } = error ?? {};
  const isTold = typeof promptTokens === 'number' && typeof windowTokens === 'number';
  const message = typeof error?.message === 'string' ? error.message : undefined;
  // Its JSON parser quotes what it could not read, and that may be a prompt.
  const isShowable = message !== undefined && !message.includes('parse_error') && !message.includes('last read');
  return {
    message: isShowable ? shortened(message) : undefined,
    type: error?.type,
    overflow: isTold ? { promptTokens, windowTokens } : undefined,
  };
}
