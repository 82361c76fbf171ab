import { resolve } from 'node:path';
import type { EdgeNodeConfig } from '../../config/config.ts';
import {
  type EmbeddedSource,
  ENGINE_KINDS,
  type EngineName,
  type EngineTraits,
  type ModelSource,
  type ServerSource,
} from '../../config/engine-kinds.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { Environment } from '../../environment/environment.ts';
import type { ChosenWindow } from '../../llm-service/embedded/choose-window.ts';
import type { EmbeddedOptions } from '../../llm-service/embedded.ts';
import type { LlmService } from '../../llm-service/llm-service.ts';
import type { DownloadProgress } from '../../llm-service/model-file.ts';
import type { VllmOptions } from '../../llm-service/vllm.ts';
import { keptStateOf } from '../kept-state/kv-budget.ts';
import { endedWithout } from '../kept-state/plain-state.ts';
import { DEMO_MODEL_PATH } from './demo-model.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { onceAvailable } from './once-available.ts';

export type { DownloadProgress };

/** What the start of one model is given. */
export interface EngineStart {
  readonly model: ModelConfig;
  /** Jinja source; `undefined`: the model's own. */
  readonly chatTemplate: string | undefined;
  readonly node: EdgeNodeConfig;
  readonly environment: Environment;
  /** With a budget a model is loaded only when it fits into it; what it takes of it it keeps. */
  readonly memory: MemoryBudget | undefined;
  /** Main memory that the model may count on, where its size can be chosen. */
  readonly availableBytes: number;
  /** Told in which folder KV state of the model is kept. */
  readonly onStateKept?: ((folder: string) => void) | undefined;
  /** Told how far a model's download has come. */
  readonly onModelProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Aborts a start that takes long, such as a download. */
  readonly signal?: AbortSignal | undefined;
}

/** A kind of engine that a node can be given. */
export interface Engine<Source extends ModelSource = ModelSource> extends EngineTraits<Source> {
  /** Throws a start code (`model_unusable`, `llm_unavailable`, …), and then leaves nothing open. */
  start(source: Source, start: EngineStart): Promise<LlmService>;
  /** For people: which service, and where; and which of the model's settings were left to it. */
  describe(
    source: Source,
    model: Pick<ModelConfig, 'contextTokens' | 'parallel'>,
    started: Pick<LlmService, 'program'>,
  ): string;
}

export type Engines = Readonly<Record<string, Engine>>;

/** Every kind of engine, with what starts it. Heavy ones are loaded only when they are meant. */
export const ENGINES: Readonly<Record<EngineName, Engine>> = {
  'inference-server': {
    ...ENGINE_KINDS['inference-server'],
    start: connectServer,
    describe: ({ url }: ServerSource, _model, { program = 'server' }) => `${program} at ${url}`,
  },
  scripted: { ...ENGINE_KINDS.scripted, start: startScriptedService, describe: () => 'scripted' },
  embedded: { ...ENGINE_KINDS.embedded, start: startEmbeddedModel, describe: (_, model) => describeEmbedded(model) },
};

function describeEmbedded({ contextTokens, parallel }: Pick<ModelConfig, 'contextTokens' | 'parallel'>): string {
  const isFitted = contextTokens === undefined || parallel === undefined;
  return isFitted
    ? 'embedded llama.cpp, sized by the memory there is: --context-tokens and --parallel set it'
    : 'embedded llama.cpp';
}

/** The engine of a model. The configuration was read with the same engines. */
export function engineOf({ source }: ModelConfig, engines: Engines = ENGINES): Engine {
  const engine = engines[source.kind];
  if (engine === undefined) throw new TypeError(`no engine ${source.kind} is registered`);
  return engine;
}

async function startScriptedService(_source: ModelSource, start: EngineStart): Promise<LlmService> {
  const { startScripted } = await import('../../llm-service/scripted.ts');
  const { model, chatTemplate, environment } = start;
  const { name: modelName, contextTokens, parallel } = model;
  return startScripted({ modelName, contextTokens, parallel, chatTemplate }, environment);
}

async function connectServer(source: ServerSource, start: EngineStart): Promise<LlmService> {
  const { node, environment, signal } = start;
  const connect = async () => {
    const program =
      source.program === 'auto' ? await detectServer(connectionTo(source, start), environment) : source.program;
    return program === 'vllm' ? connectToVllm(source, start) : connectToLlamaServer(source, start);
  };
  return onceAvailable(connect, { waitMs: node.llmStartWaitMs, signal }, environment);
}

function connectionTo({ url, apiKey }: ServerSource, { node }: EngineStart) {
  return { url, apiKey, connectTimeoutMs: node.llmConnectTimeoutMs, idleTimeoutMs: node.llmIdleTimeoutMs };
}

async function detectServer(options: ReturnType<typeof connectionTo>, environment: Environment) {
  return (await import('../../llm-service/http/detect-server.ts')).detectServer(options, environment);
}

async function connectToLlamaServer(source: ServerSource, start: EngineStart): Promise<LlmService> {
  const { connectLlamaServer } = await import('../../llm-service/llama-server.ts');
  const { model, chatTemplate, environment, signal } = start;
  const server = { ...connectionTo(source, start), modelName: model.name, chatTemplate };
  const { llmTokenizer: where } = model;
  if (where === 'server') return connectLlamaServer(server, environment);
  const file = where === 'told' ? ({ toldBy: 'llama-server' } as const) : { path: resolve(where) };
  const localTokenizer = { file, start: (path: string) => startVocabulary(path, environment, signal) };
  return connectLlamaServer({ ...server, localTokenizer }, environment);
}

async function connectToVllm(source: ServerSource, start: EngineStart): Promise<LlmService> {
  const { connectVllm } = await import('../../llm-service/vllm.ts');
  const { model, chatTemplate, node, environment, signal } = start;
  const { llmTokenizer: where, parallel, name: modelName } = model;
  const isWord = where === 'server' || where === 'told';
  const tokenizer: VllmOptions['tokenizer'] = isWord ? where : { path: resolve(where) };
  const own = { modelName, chatTemplate, parallel, tokenizer, sharesOwners: node.shareKv };
  const ofGguf = (path: string) => startVocabulary(path, environment, signal);
  return connectVllm({ ...connectionTo(source, start), ...own, startVocabulary: ofGguf }, environment);
}

/** Of a GGUF file, in a process of its own. */
async function startVocabulary(path: string, environment: Environment, signal: AbortSignal | undefined) {
  const [{ startEngineProcess }, { VOCABULARY_PROGRAM, launchEngine }] = await Promise.all([
    import('../../llm-service/engine-process.ts'),
    import('../engine-process/launch-engine.ts'),
  ]);
  return startEngineProcess(() => launchEngine(VOCABULARY_PROGRAM, { path }), environment, signal);
}

async function startEmbeddedModel({ model: file }: EmbeddedSource, start: EngineStart): Promise<LlmService> {
  const [{ startEngineProcess }, { EMBEDDED_PROGRAM, launchEngine }, { resolveModelFile }] = await Promise.all([
    import('../../llm-service/engine-process.ts'),
    import('../engine-process/launch-engine.ts'),
    import('../../llm-service/model-file.ts'),
  ]);
  const { node, environment, chatTemplate, memory, onModelProgress: onProgress, onStateKept, signal } = start;
  const { name: modelName, contextTokens, parallel } = start.model;
  const { modelCacheDir: cacheDir, threads, prefillChunkTokens, flashAttention } = node;
  const where = { cacheDir, demoPath: DEMO_MODEL_PATH, onProgress, signal };
  const modelPath = await resolveModelFile(file, where, environment);
  const gpu = node.gpu ? 'auto' : false;
  const chosen = await fitWindow(modelPath, start);
  const giveBack = chosen && memory?.take(file, chosen.neededBytes);
  const window = { contextTokens: contextTokens ?? chosen?.contextTokens, parallel: parallel ?? chosen?.parallel };
  const model = { modelPath, modelName, chatTemplate, ...window };
  try {
    const keep = await keptStateOf(modelPath, { modelName, node, environment });
    if (keep !== undefined) onStateKept?.(keep.folder);
    const { shareKv: sharesOwners, llmIdleTimeoutMs: idleTimeoutMs } = node;
    const evaluating = { threads, prefillChunkTokens, flashAttention, idleTimeoutMs };
    const options: EmbeddedOptions = { ...model, gpu, ...evaluating, keep, sharesOwners };
    const launch = () => {
      const engine = launchEngine(EMBEDDED_PROGRAM, options);
      const plain = keep?.sealing?.memoryFolder;
      return plain === undefined ? engine : endedWithout(plain, engine, environment.logger);
    };
    return await startEngineProcess(launch, environment, signal);
  } catch (error) {
    giveBack?.();
    throw error;
  }
}

/**
 * The window and the parallel turns of a model, as asked for or as its part of the memory allows, and what they need.
 * `undefined` where that cannot be told: then the model is tried.
 */
async function fitWindow(
  modelPath: string,
  { model, node, environment, availableBytes: mainBytes }: EngineStart,
): Promise<ChosenWindow | undefined> {
  const [{ freeVideoMemoryBytes, planMemory }, { chooseWindow }] = await Promise.all([
    import('../../llm-service/embedded/memory-need.ts'),
    import('../../llm-service/embedded/choose-window.ts'),
  ]);
  const plan = await planMemory(modelPath, {
    batchTokens: node.prefillChunkTokens,
    flashAttention: node.flashAttention,
  });
  if (plan === undefined) return undefined;
  const availableBytes = mainBytes + (node.gpu ? await freeVideoMemoryBytes() : 0);
  const chosen = await chooseWindow(model, { plan, availableBytes });
  const { contextTokens, parallel, neededBytes, fits } = chosen;
  const facts = { modelPath, contextTokens, parallel, trainedTokens: plan.trainedTokens, neededBytes, availableBytes };
  const advice = 'context-tokens and parallel set the window and the turns at once';
  if (fits) environment.logger.info('llm.window_chosen', { ...facts, advice });
  else environment.logger.warn('llm.memory_short', { ...facts, advice });
  return chosen;
}
