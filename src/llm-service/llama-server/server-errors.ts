import { type ContextOverflow, DiscedgeError } from '../../domain/errors.ts';

/** A llama-server's message is a line; anything longer comes from something else. */
const MESSAGE_CHARS_MAX = 300;

/** The error for what the socket reports. */
export function brokenConnection(url: URL, cause: unknown): DiscedgeError {
  const reason = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
  // Node's HTTP parser: something answers, in another language.
  if (reason.startsWith('HPE_')) return badReply(url, `something that is not HTTP (${reason})`);
  return new DiscedgeError('llm_unavailable', `The connection to llama-server at ${url.origin} failed (${reason}).`, {
    cause,
  });
}

/** `what` completes the sentence "llama-server … answered with". */
export function badReply(url: URL, what: string): DiscedgeError {
  return new DiscedgeError('llm_bad_reply', `llama-server at ${url.origin} answered with ${what}.`);
}

export function servesAnotherModel(url: URL): DiscedgeError {
  return new DiscedgeError(
    'llm_unavailable',
    `llama-server at ${url.origin} now serves another model, context size or number of slots than when this node ` +
      'started; restart this node, or the server as it was.',
  );
}

export function isClosed(): DiscedgeError {
  return new DiscedgeError('llm_unavailable', 'The LLM Service is closed.');
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
  if (status === 401 || status === 403) {
    return new DiscedgeError(
      'llm_unavailable',
      `llama-server at ${url.origin} refused the API key (${status}); set the key it was started with.`,
    );
  }
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
    message: isShowable ? message.slice(0, MESSAGE_CHARS_MAX) : undefined,
    type: error?.type,
    overflow: isTold ? { promptTokens, windowTokens } : undefined,
  };
}
