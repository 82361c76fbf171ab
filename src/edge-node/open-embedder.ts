import type { EdgeNodeConfig } from '../config/config.ts';
import type { Environment } from '../environment/environment.ts';
import { openEmbeddingsServer } from '../llm-service/embeddings-server.ts';

/** The embeddings server that is configured; `undefined`: none is. */
export function openEmbedder(config: EdgeNodeConfig, environment: Environment) {
  const { embeddingsUrl: url, llmConnectTimeoutMs: connectTimeoutMs, llmIdleTimeoutMs: idleTimeoutMs } = config;
  return url === undefined ? undefined : openEmbeddingsServer({ url, connectTimeoutMs, idleTimeoutMs }, environment);
}
