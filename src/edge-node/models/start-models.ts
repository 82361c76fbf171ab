import type { EdgeNodeConfig } from '../../config/config.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import { isModelName, MODEL_NAME_RULE } from '../../domain/cluster/model-identity.ts';
import { DiscedgeError, type ErrorCode } from '../../domain/errors.ts';
import type { Environment } from '../../environment/environment.ts';
import { type ChatTemplate, compileChatTemplate } from '../../llm-service/chat-template.ts';
import type { LlmService } from '../../llm-service/llm-service.ts';
import type { Closing } from '../closing.ts';
import { availableMemoryBytes } from './available-memory.ts';
import { type EngineStart, type Engines, engineOf } from './engines.ts';
import { MemoryBudget } from './memory-budget.ts';
import { type StartOptions, startLlmService } from './start-llm-service.ts';

/** A model whose LLM Service runs. */
export interface StartedModel {
  readonly config: ModelConfig;
  readonly name: string;
  readonly llm: LlmService;
  /** For people: which service, and where. */
  readonly serviceName: string;
  readonly template: ChatTemplate;
}

/** A model that was to be served and is not, and why. */
export interface UnservedModel {
  /** As the configuration calls it. */
  readonly model: string;
  readonly reason: string;
}

export interface StartedModels {
  /** In the configuration's order, at least one. */
  readonly served: readonly StartedModel[];
  readonly unserved: readonly UnservedModel[];
}

/** What keeps one model from being served, and need not keep the others. */
const ONE_MODELS_TROUBLE: ReadonlySet<ErrorCode> = new Set([
  'model_unusable',
  'llm_unavailable',
  'llm_timeout',
  'llm_bad_reply',
]);

/**
 * Starts the configured models, one after the other. Of several, one that cannot be served is logged and left out; throws
 * what kept it from being served when none is left, and `config_invalid` when two have one name. What has been started is
 * closed with `closing`.
 */
export async function startModels(
  config: EdgeNodeConfig,
  parts: { readonly environment: Environment; readonly options: StartOptions; readonly closing: Closing },
): Promise<StartedModels> {
  const served: StartedModel[] = [];
  const unserved: UnservedModel[] = [];
  const failures: DiscedgeError[] = [];
  const models = parts.options.llm === undefined ? config.models : config.models.slice(0, 1);
  const budget = new MemoryBudget((parts.options.memoryBytes ?? availableMemoryBytes()) - config.contextCacheBytes);
  const memory = models.length > 1 && !config.gpu ? budget : undefined;
  for (const [place, model] of models.entries()) {
    try {
      const availableBytes = budget.shareOf(models.length - place);
      const started = await startModel(model, config, { ...parts, memory, availableBytes });
      refuseSecondOf(started.name, served);
      served.push(started);
    } catch (error) {
      if (!(error instanceof DiscedgeError && ONE_MODELS_TROUBLE.has(error.code))) throw error;
      failures.push(error);
      unserved.push({ model: calledInConfig(model, parts.options.engines), reason: error.message });
      if (models.length > 1)
        parts.environment.logger.error(
          'model_not_served',
          { model: calledInConfig(model, parts.options.engines) },
          error,
        );
    }
  }
  const [first] = failures;
  if (served.length > 0 || first === undefined) return { served, unserved };
  if (failures.length === 1) throw first;
  const reasons = unserved.map(({ model, reason }) => `${model}: ${reason}`);
  throw new DiscedgeError(first.code, reasons.join('\n'), { cause: first });
}

/**
 * Several models are loaded only as far as they fit beside each other and the node's cache of contexts; a single one is
 * tried, whatever is available, as who asks for it has no other to fall back on. With a GPU the library spreads a model over
 * both memories, and llama.cpp itself says when it does not fit.
 */
type ModelsMemory = Pick<EngineStart, 'memory' | 'availableBytes'>;

async function startModel(
  config: ModelConfig,
  node: EdgeNodeConfig,
  { environment, options, closing, ...memory }: Parameters<typeof startModels>[1] & ModelsMemory,
): Promise<StartedModel> {
  const { llm, name: serviceName } = await startLlmService(config, node, environment, options, memory);
  const { name } = llm.description.identity;
  closing.later(`LLM Service of ${name}`, () => llm.close());
  try {
    if (!isModelName(name)) {
      throw new DiscedgeError(
        'model_unusable',
        `the name of its model ${MODEL_NAME_RULE}: give it another, NAME=MODEL`,
      );
    }
    return { config, name, llm, serviceName, template: await templateOf(llm, config, environment) };
  } catch (error) {
    // The node may go on without it.
    await llm.close();
    throw error;
  }
}

async function templateOf(llm: LlmService, { mode }: ModelConfig, environment: Environment): Promise<ChatTemplate> {
  const { description } = llm;
  const template = await compileChatTemplate(description, (text, how) => llm.tokenize(text, how), environment.clock);
  const { whyUnusable: reason } = template;
  const model = description.identity.name;
  if (reason === undefined) {
    const classes = Object.fromEntries(template.classes.map((found) => [found.trait, found.class]));
    environment.logger.info('chat_template', { model, origin: template.origin, ...classes });
    return template;
  }
  environment.logger.warn('chat_template_unusable', { model, reason });
  if (mode === 'client-side') return template;
  throw new DiscedgeError(
    'model_unusable',
    `the node cannot keep contexts with this model: ${reason} Start with --mode client-side, where clients send whole prompts.`,
  );
}

function refuseSecondOf(name: string, served: readonly StartedModel[]): void {
  if (served.every((model) => model.name !== name)) return;
  throw new DiscedgeError('config_invalid', `two models are called ${name}: give one another name, NAME=MODEL`);
}

/** What an operator finds it by in the configuration. */
function calledInConfig(model: ModelConfig, engines: Engines | undefined): string {
  return model.name ?? engineOf(model, engines).called(model.source);
}
