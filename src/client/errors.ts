export interface ClientErrorDetails {
  readonly code: string;
  readonly node?: string | undefined;
  readonly status?: number | undefined;
  readonly retry?: boolean | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly param?: string | undefined;
  readonly requestId?: string | undefined;
  readonly cause?: unknown;
}

/**
 * What went wrong with a request. `code` is the node's own (see docs/errors.md) or one of the client's:
 * `node_unreachable` (no connection), `node_silent` (it has said nothing for too long), `reply_cut` (the answer ended early), `reply_malformed` (not DisCEdge's answer),
 * `reply_changed` (a retried turn was answered with other words than those already given out), `reply_abandoned` (its
 * reader left), `node_behind` (a refresh found less than was acknowledged), `session_in_use` (the session's turn before is still under way), `invalid_use` (an argument that cannot work).
 */
export class DiscedgeClientError extends Error {
  readonly code: string;
  /** HTTP status; `undefined` when no answer came. */
  readonly status: number | undefined;
  /** Whether the same request, sent again, can succeed. */
  readonly retry: boolean;
  /** After how many milliseconds, where the node said so. */
  readonly retryAfterMs: number | undefined;
  /** The request field at fault, where the node named one. */
  readonly param: string | undefined;
  /** Under which the node's log has the details. */
  readonly requestId: string | undefined;
  /** URL of the node that was asked. */
  readonly node: string | undefined;

  constructor(message: string, details: ClientErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'DiscedgeClientError';
    this.code = details.code;
    this.status = details.status;
    this.retry = details.retry ?? false;
    this.retryAfterMs = details.retryAfterMs;
    this.param = details.param;
    this.requestId = details.requestId;
    this.node = details.node;
  }
}

/** The error that a node's answer describes; of one that is not DisCEdge's (a proxy's page, say) only the status counts. */
export async function errorOfResponse(response: Response, node: string): Promise<DiscedgeClientError> {
  const body: unknown = await response.json().catch(() => undefined);
  const details = errorObject(body);
  const shouldRetry = response.headers.get('x-should-retry');
  return new DiscedgeClientError(details?.message ?? `${node} answered with status ${response.status}`, {
    code: codeOf(details) ?? `http_${response.status}`,
    status: response.status,
    retry: shouldRetry === null ? mayPass(response.status) : shouldRetry === 'true',
    retryAfterMs: retryAfterMsOf(response.headers),
    param: details?.param,
    requestId: response.headers.get('x-request-id') ?? undefined,
    node,
  });
}

/** DisCEdge's own header, else the standard one, which is in seconds or a date. */
function retryAfterMsOf(headers: Headers): number | undefined {
  const own = Number.parseFloat(headers.get('retry-after-ms') ?? '');
  if (Number.isFinite(own)) return Math.max(0, own);
  const standard = headers.get('retry-after') ?? '';
  // A date is the node's, and so is what it is counted from: this machine's clock may be another.
  const sentAtMs = Date.parse(headers.get('date') ?? '');
  const nowMs = Number.isFinite(sentAtMs) ? sentAtMs : Date.now();
  const waitMs = /^\s*\d+\s*$/.test(standard) ? Number(standard) * 1000 : Date.parse(standard) - nowMs;
  return Number.isFinite(waitMs) ? Math.max(0, waitMs) : undefined;
}

/** The error inside an event of a stream that had already begun, or `undefined` when the event is not an error. */
export function errorOfEvent(event: unknown, node: string): DiscedgeClientError | undefined {
  const details = errorObject(event);
  if (details === undefined) return undefined;
  const status = typeof details.code === 'number' ? details.code : 500;
  return new DiscedgeClientError(details.message ?? `${node} ended the reply with status ${status}`, {
    code: codeOf(details) ?? `http_${status}`,
    status,
    retry: typeof details.retry === 'boolean' ? details.retry : mayPass(status),
    retryAfterMs: typeof details.retry_after_ms === 'number' ? details.retry_after_ms : undefined,
    param: details.param,
    node,
  });
}

/** Whether a status stands for something that may pass, for answers without `x-should-retry`. */
function mayPass(status: number): boolean {
  return [408, 429, 502, 503, 504].includes(status);
}

interface WireError {
  readonly code?: unknown;
  readonly message?: string;
  readonly type?: string;
  readonly param?: string;
  readonly retry?: unknown;
  readonly retry_after_ms?: unknown;
}

/** In llama.cpp's form the type is the code, in OpenAI's the code is; one of them either names as its clients know it. */
function codeOf(error: WireError | undefined): string | undefined {
  const code = typeof error?.code === 'string' ? error.code : error?.type;
  return code === 'exceed_context_size_error' || code === 'context_length_exceeded' ? 'context_overflow' : code;
}

function errorObject(body: unknown): WireError | undefined {
  const error = (body as { error?: unknown } | null | undefined)?.error;
  return typeof error === 'object' && error !== null ? (error as WireError) : undefined;
}
