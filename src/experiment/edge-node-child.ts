import { loadConfig } from '../edge-node/config.ts';
import { startEdgeNode } from '../edge-node/edge-node.ts';
import { serveAsChild } from './node-child.ts';
import { startTranscript } from './transcript-llm.ts';

serveAsChild(async ({ sources, writtenReplies }, signal) => {
  const llm = writtenReplies === undefined ? undefined : await startTranscript(writtenReplies);
  const node = await startEdgeNode(loadConfig(sources), { llm, signal });
  return { url: node.address.url, close: () => node.close() };
});
