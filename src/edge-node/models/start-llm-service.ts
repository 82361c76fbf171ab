import type { EdgeNodeConfig } from '../../config/config.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import type { Environment } from '../../environment/environment.ts';
import { DEFAULT_TEMPLATE, readTemplateFile } from '../../llm-service/chat-template/template-file.ts';
import type { LlmService } from '../../llm-service/llm-service.ts';
import type { OpenableStores } from '../stores/open-context-store.ts';
import { availableMemoryBytes } from './available-memory.ts';
import { type EngineStart, type Engines, engineOf } from './engines.ts';

export interface StartOptions extends Pick<EngineStart, 'onModelProgress' | 'onStateKept' | 'signal'> {
  /** An LLM Service of one's own in place of the configured ones. The node closes it. */
  readonly llm?: LlmService | undefined;
  /** The kinds of engine there are; those of this package when left out. */
  readonly engines?: Engines | undefined;
  /** The kinds of context store there are; those of this package when left out. */
  readonly stores?: OpenableStores | undefined;
  /** Main memory that the models may take together; what the system has available when left out. */
  readonly memoryBytes?: number | undefined;
}

export interface StartedLlmService {
  readonly llm: LlmService;
  /** For people: which service, and where. */
  readonly name: string;
}

/** The LLM Service that a model's configuration names. */
export async function startLlmService(
  model: ModelConfig,
  node: EdgeNodeConfig,
  environment: Environment,
  options: StartOptions,
  memory: Pick<EngineStart, 'memory' | 'availableBytes'> = {
    memory: undefined,
    availableBytes: availableMemoryBytes(),
  },
): Promise<StartedLlmService> {
  if (options.llm !== undefined) return { llm: options.llm, name: 'given' };
  const engine = engineOf(model, options.engines);
  const { onModelProgress, onStateKept, signal } = options;
  const chatTemplate = await readChatTemplate(model);
  const start = { model, chatTemplate, node, environment, ...memory, onModelProgress, onStateKept, signal };
  const llm = await engine.start(model.source, start);
  const name = engine.describe(model.source, model, llm);
  return { llm, name: llm.tokenizer === undefined ? name : `${name}; tokenizer: ${llm.tokenizer}` };
}

/** `undefined` for the model's own. */
async function readChatTemplate({ chatTemplateFile: path }: ModelConfig): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const templates = await readTemplateFile(path);
  const chosen = templates.find(({ name }) => name === DEFAULT_TEMPLATE) ?? templates[0];
  if (chosen === undefined)
    throw new DiscedgeError('config_invalid', `chat template ${path}: there is none in that file`);
  return chosen.source;
}
