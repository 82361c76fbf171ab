import { DiscedgeError } from '../domain/errors.ts';
import { type ConfigSources, loadConfig } from '../edge-node/config.ts';
import { startEdgeNode } from '../edge-node/edge-node.ts';

/** What a child says once: that its node listens, or why it does not. */
export type ChildReport = { readonly url: string } | { readonly code: string | undefined; readonly message: string };

// A process of its own for each node, so that nodes and clients do not share an event loop. Its parent sends where the
// settings come from; the end of the channel, however the parent ends, is the end of the node.
const stop = new AbortController();
process.on('disconnect', () => stop.abort(new Error('the parent has gone')));
// Ctrl-C reaches every process of a terminal; when the nodes stop is the parent's decision.
process.on('SIGINT', () => {});
process.once('message', (sources: ConfigSources) => {
  serve(sources).catch((error: unknown) => {
    const code = error instanceof DiscedgeError ? error.code : undefined;
    report({ code, message: error instanceof Error ? error.message : String(error) });
  });
});

async function serve(sources: ConfigSources): Promise<void> {
  const node = await startEdgeNode(loadConfig(sources), { signal: stop.signal });
  const close = () => node.close().then(() => process.exit());
  if (stop.signal.aborted) return close();
  stop.signal.addEventListener('abort', close);
  report({ url: node.address.url });
}

function report(report: ChildReport): void {
  if (process.connected) process.send?.(report);
}
