import { DiscedgeError } from '../../domain/errors.ts';
import { badReply as badReplyOf, refusedKey, type ServerKind, shortened } from '../http/server-errors.ts';

/** What the connection to one needs to know. */
export const VLLM: ServerKind = { name: 'vLLM', errorOfReply };

/** `what` completes the sentence "vLLM … answered with". */
export function badReply(url: URL, what: string): DiscedgeError {
  return badReplyOf(VLLM, url, what);
}

export function servesAnotherModel(url: URL): DiscedgeError {
  return new DiscedgeError(
    'llm_unavailable',
    `vLLM at ${url.origin} now serves another model, tokenizer or context length than when this node started; ` +
      'restart this node, or the server as it was.',
  );
}

/** What an operator has to start the server with. */
export function needsFlag(url: URL, { flag, without }: { readonly flag: string; readonly without: string }) {
  return new DiscedgeError('llm_unavailable', `vLLM at ${url.origin} ${without}: start it with ${flag}.`);
}

/** The DiscedgeError for vLLM's `{"error": {message, type, param, code}}`, and for replies of things in front of it. */
function errorOfReply(url: URL, status: number, body: unknown): DiscedgeError {
  const { message, param } = readError(body);
  const said = `vLLM at ${url.origin} answered ${status}${message === undefined ? '' : `: ${message}`}`;
  switch (status) {
    case 400:
    case 422:
      return refusedRequest(message ?? said, param);
    case 401:
    case 403:
      return refusedKey(VLLM, url, status);
    case 404:
      return param === 'model' ? servesAnotherModel(url) : new DiscedgeError('llm_bad_reply', `${said}; is it a vLLM?`);
    case 429:
      return new DiscedgeError('llm_unavailable', said);
    case 501:
      return new DiscedgeError('unsupported_parameter', message ?? said, { param: 'model' });
    default:
      return status >= 500
        ? new DiscedgeError('llm_unavailable', said)
        : new DiscedgeError('llm_bad_reply', `${said}; is it a vLLM?`);
  }
}

/** What says that the prompt, or prompt and reply, are longer than `--max-model-len`. */
const TOO_LONG = /maximum context length|max_model_len|longer than the maximum model length/;

function refusedRequest(message: string, param: string | undefined): DiscedgeError {
  return TOO_LONG.test(message)
    ? new DiscedgeError('context_overflow', "The prompt is longer than vLLM's context window.", { param: 'prompt' })
    : new DiscedgeError('invalid_request', message, { param });
}

/** The error in an event of a stream whose status was sent before; `undefined` for an event that is none. */
export function errorOfEvent(url: URL, event: unknown): DiscedgeError | undefined {
  const status = (event as { error?: { code?: unknown } } | null)?.error?.code;
  return typeof status === 'number' ? errorOfReply(url, status, event) : undefined;
}

function readError(body: unknown): { readonly message: string | undefined; readonly param: string | undefined } {
  const { error } = (body ?? {}) as { error?: Record<string, unknown> };
  const message = typeof error?.message === 'string' ? error.message : undefined;
  // Its validator quotes what it was given, and that may be a prompt.
  const isShowable = message !== undefined && !/validation error|'input'|input_value|JSON/.test(message);
  return {
    message: isShowable ? shortened(message) : undefined,
    param: typeof error?.param === 'string' ? error.param : undefined,
  };
}
