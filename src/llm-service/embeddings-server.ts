import type { Environment } from '../environment/environment.ts';
import { ServerConnection } from './http/server-connection.ts';
import { embeddingsOf } from './llama-server/embeddings.ts';
import { LLAMA_SERVER } from './llama-server/server-errors.ts';
import type { Embedder } from './llm-service.ts';

export interface EmbeddingsServerOptions {
  /** Where the server listens, e.g. `http://127.0.0.1:8090`; a path is kept as a prefix. */
  readonly url: string;
  /** How long it may take to accept a connection. */
  readonly connectTimeoutMs: number;
  /** How long it may send nothing. */
  readonly idleTimeoutMs: number;
}

/**
 * A llama-server started with `--embeddings`, beside the one that answers: there an embedding takes a slot, and with it what that
 * slot held of a session. It is asked when it is needed, so it need not be there when the node starts.
 */
export function openEmbeddingsServer(
  options: EmbeddingsServerOptions,
  environment: Environment,
): Embedder & { close(): void } {
  // The key of the LLM Service is for that server alone.
  const connection = new ServerConnection(LLAMA_SERVER, { ...options, apiKey: undefined }, environment);
  return {
    embed: (inputs, signal) => embeddingsOf(connection, inputs, signal),
    close: () => connection.close(),
  };
}
