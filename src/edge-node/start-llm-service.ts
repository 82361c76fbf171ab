import { fileURLToPath } from 'node:url';
import type { EdgeNodeConfig } from '../config/config.ts';
import type { Environment } from '../environment/environment.ts';
import type { LlmService } from '../llm-service/llm-service.ts';
import type { DownloadProgress } from '../llm-service/model-file.ts';

export type { DownloadProgress };

/** The demo model, as it lies in the repository and in the package. */
export const DEMO_MODEL_PATH = fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url));

export interface StartOptions {
  /** An LLM Service of one's own in place of the configured one. The node closes it. */
  readonly llm?: LlmService | undefined;
  /** Told how far a model's download has come. */
  readonly onModelProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Aborts a start that takes long, such as a download. */
  readonly signal?: AbortSignal | undefined;
}

export interface StartedLlmService {
  readonly llm: LlmService;
  /** For people: which service, and where. */
  readonly name: string;
}

/** The LLM Service the configuration names. Heavy ones are loaded only when they are meant. */
export async function startLlmService(
  config: EdgeNodeConfig,
  environment: Environment,
  { llm: given, onModelProgress, signal }: StartOptions,
): Promise<StartedLlmService> {
  if (given !== undefined) return { llm: given, name: 'given' };
  const { llm, modelName, contextTokens } = config;
  if (llm === 'scripted') {
    const { startScripted } = await import('../llm-service/scripted.ts');
    return { llm: startScripted({ modelName, contextTokens }, environment), name: 'scripted' };
  }
  if (llm !== undefined) {
    const { connectLlamaServer } = await import('../llm-service/llama-server.ts');
    const { llmApiKey: apiKey, llmConnectTimeoutMs: connectTimeoutMs, llmIdleTimeoutMs: idleTimeoutMs } = config;
    const options = { url: llm, modelName, apiKey, connectTimeoutMs, idleTimeoutMs };
    return { llm: await connectLlamaServer(options, environment), name: `llama-server at ${llm}` };
  }
  const [{ startEmbedded }, { resolveModelFile }] = await Promise.all([
    import('../llm-service/embedded.ts'),
    import('../llm-service/model-file.ts'),
  ]);
  const { parallel, threads, prefillChunkTokens, llmIdleTimeoutMs: idleTimeoutMs } = config;
  const where = { cacheDir: config.modelCacheDir, demoPath: DEMO_MODEL_PATH, onProgress: onModelProgress, signal };
  const modelPath = await resolveModelFile(config.model, where, environment);
  const gpu = config.gpu ? 'auto' : false;
  return {
    llm: await startEmbedded(
      { modelPath, modelName, contextTokens, parallel, threads, prefillChunkTokens, gpu, idleTimeoutMs },
      environment,
    ),
    name: 'embedded llama.cpp',
  };
}
