import type { ConfigSources } from 'discedge/internal/config/config';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import type { WrittenReplies } from './transcript-llm.ts';

/** What the parent sends once. */
export interface ChildOrder {
  readonly sources: ConfigSources;
  readonly llm: ChildLlm;
}

/** What is other than configured about a node's LLM Service. */
export interface ChildLlm {
  /** In place of its replies. */
  readonly writtenReplies?: WrittenReplies | undefined;
  /** Holds its tokenizer up to this pace. */
  readonly tokenizerIdsPerS?: number | undefined;
}

/** What a child says once: that its node listens, or why it does not. */
export type ChildReport = { readonly url: string } | { readonly code: string | undefined; readonly message: string };

export interface ChildNode {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * A process of its own for each node, so that nodes and clients do not share an event loop. Its parent sends where the
 * settings come from; the end of the channel, however the parent ends, is the end of the node.
 */
export function serveAsChild(start: (order: ChildOrder, signal: AbortSignal) => Promise<ChildNode>): void {
  const stop = new AbortController();
  process.on('disconnect', () => stop.abort(new Error('the parent has gone')));
  // Ctrl-C reaches every process of a terminal; when the nodes stop is the parent's decision.
  process.on('SIGINT', () => {});
  const serve = async (order: ChildOrder) => {
    const node = await start(order, stop.signal);
    const close = () => node.close().then(() => process.exit());
    if (stop.signal.aborted) return close();
    stop.signal.addEventListener('abort', close);
    report({ url: node.url });
  };
  process.once('message', (order: ChildOrder) => {
    serve(order).catch((error: unknown) => {
      const code = error instanceof DiscedgeError ? error.code : undefined;
      report({ code, message: error instanceof Error ? error.message : String(error) });
    });
  });
}

function report(report: ChildReport): void {
  if (process.connected) process.send?.(report);
}
