import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { EdgeNodeConfig } from '../config/config.ts';
import type { ModelConfig } from '../config/model-config.ts';
import { DiscedgeError } from '../domain/errors.ts';
import type { Environment } from '../environment/environment.ts';
import type { memoryNeed } from '../llm-service/embedded/memory-need.ts';
import type { LlmService } from '../llm-service/llm-service.ts';
import type { DownloadProgress } from '../llm-service/model-file.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { OpenableStores } from './open-context-store.ts';

export type { DownloadProgress };

/** The demo model, as it lies in the repository and in the package. */
export const DEMO_MODEL_PATH = fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url));

export interface StartOptions {
  /** An LLM Service of one's own in place of the configured ones. The node closes it. */
  readonly llm?: LlmService | undefined;
  /** The kinds of context store there are; those of this package when left out. */
  readonly stores?: OpenableStores | undefined;
  /** Told how far a model's download has come. */
  readonly onModelProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Aborts a start that takes long, such as a download. */
  readonly signal?: AbortSignal | undefined;
  /** Main memory that several models may take together; what the system has available when left out. */
  readonly memoryBytes?: number | undefined;
}

export interface StartedLlmService {
  readonly llm: LlmService;
  /** For people: which service, and where. */
  readonly name: string;
}

/**
 * The LLM Service that a model's configuration names. Heavy ones are loaded only when they are meant, and with a budget only
 * when they fit into it; what they take of it they keep.
 */
export async function startLlmService(
  model: ModelConfig,
  node: EdgeNodeConfig,
  environment: Environment,
  options: StartOptions,
  memory?: MemoryBudget,
): Promise<StartedLlmService> {
  if (options.llm !== undefined) return { llm: options.llm, name: 'given' };
  const { source, name: modelName, contextTokens } = model;
  const chatTemplate = await readChatTemplate(model);
  switch (source.kind) {
    case 'scripted': {
      const { startScripted } = await import('../llm-service/scripted.ts');
      return { llm: startScripted({ modelName, contextTokens, chatTemplate }, environment), name: 'scripted' };
    }
    case 'llama-server': {
      const { connectLlamaServer } = await import('../llm-service/llama-server.ts');
      const { url, apiKey } = source;
      const { llmConnectTimeoutMs: connectTimeoutMs, llmIdleTimeoutMs: idleTimeoutMs } = node;
      const server = { url, modelName, chatTemplate, apiKey, connectTimeoutMs, idleTimeoutMs };
      return { llm: await connectLlamaServer(server, environment), name: `llama-server at ${url}` };
    }
    case 'embedded': {
      const embedded = { ...model, file: source.model, chatTemplate, memory };
      return { llm: await startEmbeddedModel(embedded, node, environment, options), name: 'embedded llama.cpp' };
    }
    default:
      return source satisfies never;
  }
}

interface EmbeddedModel extends ModelConfig {
  readonly file: string;
  readonly chatTemplate: string | undefined;
  readonly memory: MemoryBudget | undefined;
}

async function startEmbeddedModel(
  { file, name: modelName, contextTokens, chatTemplate, parallel, memory }: EmbeddedModel,
  { modelCacheDir: cacheDir, threads, prefillChunkTokens, llmIdleTimeoutMs: idleTimeoutMs, ...node }: EdgeNodeConfig,
  environment: Environment,
  { onModelProgress: onProgress, signal }: StartOptions,
): Promise<LlmService> {
  const [{ startEmbedded }, { resolveModelFile }] = await Promise.all([
    import('../llm-service/embedded.ts'),
    import('../llm-service/model-file.ts'),
  ]);
  const modelPath = await resolveModelFile(
    file,
    { cacheDir, demoPath: DEMO_MODEL_PATH, onProgress, signal },
    environment,
  );
  const gpu = node.gpu ? 'auto' : false;
  const model = { modelPath, modelName, chatTemplate, contextTokens, parallel };
  const giveBack = memory && (await setAside(memory, { file, ...model, batchTokens: prefillChunkTokens }));
  try {
    return await startEmbedded({ ...model, threads, prefillChunkTokens, gpu, idleTimeoutMs }, environment);
  } catch (error) {
    giveBack?.();
    throw error;
  }
}

/** `undefined` where it cannot be told how much the model needs: then it is tried. */
async function setAside(
  memory: MemoryBudget,
  { file, ...model }: Parameters<typeof memoryNeed>[0] & { readonly file: string },
): Promise<(() => void) | undefined> {
  const { memoryNeed } = await import('../llm-service/embedded/memory-need.ts');
  const neededBytes = await memoryNeed(model);
  return neededBytes === undefined ? undefined : memory.take(file, neededBytes);
}

/** `undefined` for the model's own. */
async function readChatTemplate({ chatTemplateFile: path }: ModelConfig): Promise<string | undefined> {
  if (path === undefined) return undefined;
  return readFile(path, 'utf8').catch((cause: Error) => {
    throw new DiscedgeError('config_invalid', `chat template ${path} cannot be read: ${cause.message}`, { cause });
  });
}
