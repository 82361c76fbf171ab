import { DiscedgeClientError } from './errors.ts';
import type { NodeRing } from './nodes/node-ring.ts';

export interface RetryPolicy {
  /** Attempts after the first. */
  readonly retriesMax: number;
  /** Wait before the first retry, where the node does not name one; doubles with each. */
  readonly backoffMs: number;
  readonly onRetry?: ((event: RetryEvent) => void) | undefined;
}

export interface RetryEvent {
  /** 1 for the first retry. */
  readonly attempt: number;
  readonly error: DiscedgeClientError;
  /** Where the next attempt goes. */
  readonly node: string;
  readonly waitMs: number;
}

/** With `context_stale` after a second's wait at the node each time, enough for the usual hiccup of replication. */
export const RETRIES_MAX_DEFAULT = 4;
/** Long enough to let a short overload pass, short enough not to be noticed in a conversation. */
export const BACKOFF_MS_DEFAULT = 200;
/** Longest wait between two attempts; also bounds what a node may ask for. */
const WAIT_MS_MAX = 10_000;

/** Trouble of one node only, which another may not have. */
const NODE_TROUBLE: ReadonlySet<string> = new Set([
  'context_stale',
  'repair_incomplete',
  'node_unreachable',
  'node_silent',
  'overloaded',
  'llm_unavailable',
  'llm_timeout',
  'llm_bad_reply',
  'store_unavailable',
  'shutting_down',
  // Of a proxy before it.
  'http_502',
  'http_503',
  'http_504',
]);

/**
 * Runs `attempt` until it succeeds, fails for good, or `retriesMax` is used up; throws its last error. Goes to the next
 * node when the trouble is the node's own, at once as long as there is one that has not been tried.
 */
export async function withRetries<T>(
  ring: NodeRing,
  policy: RetryPolicy,
  signal: AbortSignal | undefined,
  attempt: (node: string) => Promise<T>,
): Promise<T> {
  const tried = new Set<string>();
  for (let retries = 0; ; retries++) {
    const node = ring.current;
    try {
      return await attempt(node);
    } catch (error) {
      if (!(error instanceof DiscedgeClientError) || !error.retry || retries >= policy.retriesMax) throw error;
      tried.add(node);
      // A session that has moved to another node in the meantime stays there.
      if (NODE_TROUBLE.has(error.code) && ring.current === node) ring.advance();
      const waitMs = tried.has(ring.current) ? waitFor(error, retries, policy) : 0;
      policy.onRetry?.({ attempt: retries + 1, error, node: ring.current, waitMs });
      await pause(waitMs, signal);
    }
  }
}

function waitFor(error: DiscedgeClientError, retries: number, { backoffMs }: RetryPolicy): number {
  // Up to half longer, so that clients cut off together do not come back together.
  const backoff = backoffMs * 2 ** retries * (1 + Math.random() / 2);
  return Math.round(Math.min(error.retryAfterMs ?? backoff, WAIT_MS_MAX));
}

function pause(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, waitMs);
    signal?.addEventListener('abort', stop, { once: true });
  });
}
