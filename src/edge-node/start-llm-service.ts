import type { Environment } from '../environment/environment.ts';
import type { LlmService } from '../llm-service/llm-service.ts';
import type { EdgeNodeConfig } from './config.ts';

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
  const { modelName, contextTokens } = config;
  const { startScripted } = await import('../llm-service/scripted.ts');
  const options = {
    ...(modelName === undefined ? {} : { modelName }),
    ...(contextTokens === undefined ? {} : { contextTokens }),
  };
  return { llm: startScripted(options, environment), name: 'scripted' };
}
