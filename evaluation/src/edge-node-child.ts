import { loadConfig } from '../../src/config/config.ts';
import { startEdgeNode } from '../../src/edge-node/edge-node.ts';
import { startLlmService } from '../../src/edge-node/start-llm-service.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import type { LlmService } from '../../src/llm-service/llm-service.ts';
import { type ChildOrder, serveAsChild } from './node-child.ts';
import { withSlowTokenizer } from './slow-tokenizer.ts';
import { startTranscript } from './transcript-llm.ts';

serveAsChild(async (order, signal) => {
  const llm = await llmOf(order, signal);
  const node = await startEdgeNode(loadConfig(order.sources), { llm, signal });
  return { url: node.address.url, close: () => node.close() };
});

/** `undefined`: as the node's settings say. */
async function llmOf({ sources, llm }: ChildOrder, signal: AbortSignal): Promise<LlmService | undefined> {
  const { writtenReplies, tokenizerIdsPerS } = llm;
  if (writtenReplies !== undefined) return startTranscript(writtenReplies);
  if (tokenizerIdsPerS === undefined) return undefined;
  const config = loadConfig(sources);
  const environment = nodeEnvironment({ logLevel: config.logLevel, nodeId: config.nodeId });
  const { llm: configured } = await startLlmService(config, environment, { signal });
  return withSlowTokenizer(configured, tokenizerIdsPerS, environment.clock);
}
