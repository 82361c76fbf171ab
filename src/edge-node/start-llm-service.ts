import { fileURLToPath } from 'node:url';
import type { Environment } from '../environment/environment.ts';
import type { LlmService } from '../llm-service/llm-service.ts';
import type { EdgeNodeConfig } from './config.ts';

/** The demo model, as it lies in the repository and in the package. */
export const DEMO_MODEL_PATH = fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url));

export interface ModelProgress {
  readonly downloadedBytes: number;
  readonly totalBytes: number;
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
  _options: { readonly onModelProgress?: (progress: ModelProgress) => void; readonly signal?: AbortSignal },
): Promise<StartedLlmService> {
  const { llm, modelName, contextTokens } = config;
  if (llm === 'scripted') {
    const { startScripted } = await import('../llm-service/scripted.ts');
    return { llm: startScripted({ modelName, contextTokens }, environment), name: 'scripted' };
  }
  const { startEmbedded } = await import('../llm-service/embedded.ts');
  const { parallel, threads, prefillChunkTokens } = config;
  const modelPath = config.model === 'demo' ? DEMO_MODEL_PATH : config.model;
  const gpu = config.gpu ? 'auto' : false;
  return {
    llm: await startEmbedded({ modelPath, modelName, contextTokens, parallel, threads, prefillChunkTokens, gpu }, environment),
    name: 'embedded llama.cpp',
  };
}
