/**
 * The closed table of everything that can go wrong in front of a user. `status` is the HTTP status; `start` errors
 * end the process instead and have none. `retry` says whether the same request, sent again, can succeed.
 * docs/errors.md is held equal to this table by a test.
 */
export const ERROR_TABLE = {
  invalid_request: {
    status: 400,
    retry: false,
    meaning: 'A field is missing, malformed or out of range; `param` names it.',
  },
  unsupported_parameter: {
    status: 400,
    retry: false,
    meaning: 'The LLM Service or the context store of this node cannot honour this parameter.',
  },
  mode_mismatch: {
    status: 400,
    retry: false,
    meaning: 'The session was opened in another context mode; a session keeps its mode.',
  },
  mode_unavailable: {
    status: 400,
    retry: false,
    meaning:
      "The model's chat template cannot carry a conversation, so the node keeps no contexts with it; use `client-side`.",
  },
  context_overflow: {
    status: 400,
    retry: false,
    meaning: 'Context and message exceed the context window under the chosen overflow policy.',
  },
  previous_response_not_found: {
    status: 400,
    retry: false,
    meaning: 'There is no response of the id to go on after: unknown, deleted, expired, or of another cluster.',
  },
  conversation_locked: {
    status: 400,
    retry: false,
    meaning: 'Another response on this conversation is under way, and was not done within the longest wait.',
  },
  unauthorized: {
    status: 401,
    retry: false,
    meaning: 'The node asks who calls, and no API key or token came that counts: none, unknown, expired or revoked.',
  },
  forbidden: { status: 403, retry: false, meaning: 'The API key or token is good, but not for this.' },
  model_not_found: {
    status: 404,
    retry: false,
    meaning: 'The node serves several models and none of this name; `/v1/models` lists them.',
  },
  response_not_found: {
    status: 404,
    retry: false,
    meaning: 'There is no response of this id: unknown, deleted, expired, never stored, or of another cluster.',
  },
  completion_not_found: {
    status: 404,
    retry: false,
    meaning: 'There is no such chat completion: never stored here, deleted or expired.',
  },
  conversation_not_found: {
    status: 404,
    retry: false,
    meaning: 'There is no conversation of this id: unknown, deleted, expired, or of another cluster.',
  },
  erasure_not_found: {
    status: 404,
    retry: false,
    meaning: 'No erasure of this user with this receipt is known here: there was none, or it is too long ago.',
  },
  item_not_found: { status: 404, retry: false, meaning: 'The conversation or response has no item of this id.' },
  route_not_found: { status: 404, retry: false, meaning: 'No such route.' },
  session_not_found: {
    status: 404,
    retry: false,
    meaning: 'This principal has no such session here, or it has expired.',
  },
  method_not_allowed: {
    status: 405,
    retry: false,
    meaning: 'The path has no such method; the header `allow` lists those that it has.',
  },
  request_timeout: { status: 408, retry: true, meaning: 'The request took too long to arrive.' },
  session_deleted: {
    status: 410,
    retry: false,
    meaning: 'The session was deleted; its id cannot be used again until its tombstone expires.',
  },
  turn_conflict: { status: 412, retry: false, meaning: 'The turn is already stored with a different request.' },
  session_exists: {
    status: 412,
    retry: false,
    meaning: 'A fork was to get the id of a session that is there already, and is not this fork.',
  },
  version_conflict: {
    status: 412,
    retry: false,
    meaning: 'What was to be changed is not at the version that the request names; read it again.',
  },
  payload_too_large: { status: 413, retry: false, meaning: 'The request body exceeds the configured limit.' },
  unsupported_media_type: {
    status: 415,
    retry: false,
    meaning: 'The request body is not application/json, or is compressed.',
  },
  turn_cancelled: { status: 422, retry: false, meaning: 'The turn was cancelled by its owner; nothing was stored.' },
  rate_limited: {
    status: 429,
    retry: true,
    meaning:
      'The principal is over one of its limits: requests a second, ids a minute, turns at once; or a user has changed its preferences too often. See `retry-after`.',
  },
  quota_exceeded: {
    status: 429,
    retry: false,
    meaning: 'The user has as many sessions, or bytes of them, in the store of this node as it may; delete some.',
  },
  session_busy: { status: 429, retry: true, meaning: 'Too many requests are waiting for this session.' },
  headers_too_large: { status: 431, retry: false, meaning: 'The URL and the headers are longer than a node reads.' },
  internal_error: {
    status: 500,
    retry: false,
    meaning: 'A defect in DisCEdge; the log has the details under the request id.',
  },
  context_corrupt: {
    status: 500,
    retry: false,
    meaning: 'A stored record of this session is damaged, so the history cannot be used.',
  },
  llm_bad_reply: {
    status: 502,
    retry: true,
    meaning: 'The LLM Service answered with something that is not a completion.',
  },
  context_stale: {
    status: 503,
    retry: true,
    meaning:
      'The replica does not hold the turn before this one, and none came from the peers in time; see `retry-after-ms`.',
  },
  repair_incomplete: {
    status: 503,
    retry: true,
    meaning:
      'The turns handed over in `repair` reach back neither to a turn that this node holds nor to turn 1; a node that holds more may do.',
  },
  overloaded: {
    status: 503,
    retry: true,
    meaning:
      'The node has as many turns in flight as it allows, and others have no more of them; or the turn waited, and gave way to one of somebody who had fewer.',
  },
  llm_unavailable: { status: 503, retry: true, meaning: 'The LLM Service cannot be reached or refuses work.' },
  store_unavailable: {
    status: 503,
    retry: true,
    meaning: 'The context store cannot read or write (disk full, closed); nothing was acknowledged.',
  },
  access_unavailable: {
    status: 503,
    retry: true,
    meaning: "The token issuer's keys cannot be had at the moment, so no token can be checked.",
  },
  shutting_down: { status: 503, retry: true, meaning: 'The node is stopping.' },
  llm_timeout: { status: 504, retry: true, meaning: 'The LLM Service produced nothing within the configured time.' },
  config_invalid: {
    status: undefined,
    retry: false,
    meaning: 'A flag, environment variable or configuration file is wrong.',
  },
  model_unusable: {
    status: undefined,
    retry: false,
    meaning: 'The model file is missing, truncated, not a GGUF, or cannot be fetched.',
  },
  data_dir_in_use: { status: undefined, retry: false, meaning: 'Another node has this data folder open.' },
  data_dir_unusable: {
    status: undefined,
    retry: false,
    meaning: 'The data folder cannot be written or holds another format version.',
  },
  encryption_key_missing: {
    status: undefined,
    retry: false,
    meaning: 'The data folder is encrypted with a key that the node was not given.',
  },
  certificate_unusable: {
    status: undefined,
    retry: false,
    meaning: 'A certificate or key is missing, damaged, expired, does not fit its authority, or would be overwritten.',
  },
  nats_unavailable: {
    status: undefined,
    retry: false,
    meaning: 'nats-server is missing, too old, or does not start.',
  },
  package_missing: {
    status: undefined,
    retry: false,
    meaning: 'What was asked for is in an optional package that is not installed; the message has the command.',
  },
  port_in_use: { status: undefined, retry: false, meaning: 'Another process listens on this address.' },
  scenario_invalid: {
    status: undefined,
    retry: false,
    meaning: 'A scenario file is missing, empty or malformed; every problem is named with its line.',
  },
  scenario_nodes_unfit: {
    status: undefined,
    retry: false,
    meaning: 'The nodes given do not fit the scenario: too few, another model, another mode, or no edge nodes at all.',
  },
  capture_unavailable: {
    status: undefined,
    retry: false,
    meaning: 'Traffic cannot be captured: no tcpdump, no right to use it, or no such interface.',
  },
  experiment_unavailable: {
    status: undefined,
    retry: false,
    meaning: 'What an experiment needs is not on this machine: network namespaces, llama-server, a vocabulary.',
  },
  results_unusable: {
    status: undefined,
    retry: false,
    meaning: 'A results file cannot be written, or this version cannot read it.',
  },
} as const satisfies Record<string, { status: number | undefined; retry: boolean; meaning: string }>;

export type ErrorCode = keyof typeof ERROR_TABLE;

/** Lengths in ids. */
export interface ContextOverflow {
  readonly promptTokens: number;
  readonly windowTokens: number;
}

/**
 * The one error class that crosses module borders. `message` says what happened, to what, and what to do about it;
 * it never carries a prompt, token or secret. `cause` keeps the foreign error of an adapter.
 */
export class DiscedgeError extends Error {
  readonly code: ErrorCode;
  /** The request field at fault, for `invalid_request`-like codes. */
  readonly param: string | undefined;
  /** Milliseconds after which a retry makes sense, where that is known. */
  readonly retryAfterMs: number | undefined;
  /** Of a prompt that is too long, where that is known. */
  readonly overflow: ContextOverflow | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    details: {
      param?: string | undefined;
      retryAfterMs?: number | undefined;
      overflow?: ContextOverflow | undefined;
      cause?: unknown;
    } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'DiscedgeError';
    this.code = code;
    this.param = details.param;
    this.retryAfterMs = details.retryAfterMs;
    this.overflow = details.overflow;
  }

  /** HTTP status; 500 for errors that can only happen at start. */
  get status(): number {
    return ERROR_TABLE[this.code].status ?? 500;
  }

  get retry(): boolean {
    return ERROR_TABLE[this.code].retry;
  }
}

/** Whether it says that a session is not there, or not any more. */
export function isMissing(error: unknown): boolean {
  return error instanceof DiscedgeError && (error.code === 'session_not_found' || error.code === 'session_deleted');
}
