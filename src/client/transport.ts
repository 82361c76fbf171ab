import { DiscedgeClientError, errorOfResponse } from './errors.ts';
import type { NodeRing } from './nodes/node-ring.ts';
import { type RetryPolicy, withRetries } from './retry.ts';

/** The standard `fetch`, or one that behaves like it. */
export type Fetch = (input: string, init: RequestInit) => Promise<Response>;

export interface TransportOptions {
  readonly fetch: Fetch;
  readonly headers: Readonly<Record<string, string>>;
  readonly policy: RetryPolicy;
  /** How long a node may say nothing before it is left, see {@link Transport.silenceMsFor}. */
  readonly silenceMs?: number | undefined;
}

/** A node says something at least every 15 seconds while a reply is streamed; three times that is no accident. */
const STREAM_SILENCE_MS_DEFAULT = 45_000;

export interface ClientRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path and query. */
  readonly path: string;
  readonly body?: object | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Requests to nodes: their errors typed, their retries bounded. */
export class Transport {
  readonly policy: RetryPolicy;
  readonly #fetch: Fetch;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #silenceMs: number | undefined;

  constructor({ fetch, headers, policy, silenceMs }: TransportOptions) {
    this.#fetch = fetch;
    this.#headers = headers;
    this.policy = policy;
    this.#silenceMs = silenceMs;
  }

  /** Milliseconds that a node may say nothing; 0 for ever, as for a reply sent whole, of which nothing comes before its end. */
  silenceMsFor({ isStream }: { readonly isStream: boolean }): number {
    return this.#silenceMs ?? (isStream ? STREAM_SILENCE_MS_DEFAULT : 0);
  }

  /** The same with one attempt, of at most so many milliseconds. */
  impatient(waitMs: number): Transport {
    return new Transport({
      fetch: (input, init) => {
        const signals = [AbortSignal.timeout(waitMs), ...(init.signal == null ? [] : [init.signal])];
        return this.#fetch(input, { ...init, signal: AbortSignal.any(signals) });
      },
      headers: this.#headers,
      policy: { ...this.policy, retriesMax: 0 },
      silenceMs: this.#silenceMs,
    });
  }

  /** One attempt at one node. Resolves with a 2xx answer, throws everything else. */
  async send(node: string, { method, path, body, signal }: ClientRequest): Promise<Response> {
    let response: Response;
    try {
      response = await this.#fetch(node + path, {
        method,
        headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...this.#headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (cause) {
      signal?.throwIfAborted();
      throw new DiscedgeClientError(`${node} cannot be reached`, {
        code: 'node_unreachable',
        retry: true,
        node,
        cause,
      });
    }
    if (response.ok) return response;
    const error = await errorOfResponse(response, node);
    signal?.throwIfAborted();
    throw error;
  }

  /** One attempt, its answer read as JSON. */
  async sendForJson(node: string, request: ClientRequest): Promise<unknown> {
    const response = await this.send(node, request);
    let text: string;
    try {
      text = await response.text();
    } catch (cause) {
      request.signal?.throwIfAborted();
      throw broken(node, cause);
    }
    try {
      return JSON.parse(text);
    } catch (cause) {
      // Without a content-length, a connection that closes early looks like the end of the answer.
      if (/^\s*[{[]/.test(text)) throw broken(node, cause);
      throw new DiscedgeClientError(`${node} answered with something that is not JSON`, {
        code: 'reply_malformed',
        status: response.status,
        node,
      });
    }
  }

  /** With retries and fail-over; only for requests that may safely be sent twice. */
  json(ring: NodeRing, request: ClientRequest): Promise<unknown> {
    return withRetries(ring, this.policy, request.signal, (node) => this.sendForJson(node, request));
  }
}

function broken(node: string, cause: unknown): DiscedgeClientError {
  return new DiscedgeClientError(`${node} broke off in the middle of an answer`, {
    code: 'reply_cut',
    retry: true,
    node,
    cause,
  });
}
