import type { EdgeNodeConfig } from '../config/config.ts';
import type { Environment } from '../environment/environment.ts';

/** The embeddings server that is configured; `undefined`: none is. What asks it is loaded only then. */
export async function openEmbedder(config: EdgeNodeConfig, environment: Environment) {
  const { embeddingsUrl: url, llmConnectTimeoutMs: connectTimeoutMs, llmIdleTimeoutMs: idleTimeoutMs } = config;
  if (url === undefined) return undefined;
  const { openEmbeddingsServer } = await import('../llm-service/embeddings-server.ts');
  return openEmbeddingsServer({ url, connectTimeoutMs, idleTimeoutMs }, environment);
}
