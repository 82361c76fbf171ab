import type { Environment } from '../../src/environment/environment.ts';
import { connectLlamaServer } from '../../src/llm-service/llama-server.ts';
import type { LlmService } from '../../src/llm-service/llm-service.ts';
import { type LlamaServerOptions, startLlamaServer } from '../../tools/real-servers/llama-server.ts';

/** A llama-server as an LLM Service; `close` ends both. */
export async function startLlamaServerService(
  options: LlamaServerOptions,
  environment: Environment,
): Promise<{ readonly service: LlmService; close(): Promise<void> }> {
  const server = await startLlamaServer(options);
  try {
    const waits = { connectTimeoutMs: 5_000, idleTimeoutMs: 600_000 };
    const service = await connectLlamaServer({ url: server.url, ...waits }, environment);
    return {
      service,
      close: async () => {
        await service.close();
        await server.stop();
      },
    };
  } catch (error) {
    await server.stop();
    throw error;
  }
}
