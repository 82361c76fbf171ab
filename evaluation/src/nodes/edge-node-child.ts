import { loadConfig } from 'discedge/internal/config/config';
import type { ModelConfig } from 'discedge/internal/config/model-config';
import { startEdgeNode } from 'discedge/internal/edge-node/edge-node';
import { startLlmService } from 'discedge/internal/edge-node/models/start-llm-service';
import { nodeEnvironment } from 'discedge/internal/environment/node-environment';
import type { LlmService } from 'discedge/internal/llm-service/llm-service';
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
  const { llm: configured } = await startLlmService(config.models[0] as ModelConfig, config, environment, { signal });
  return withSlowTokenizer(configured, tokenizerIdsPerS, environment.clock);
}
