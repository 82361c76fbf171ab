import type {
  Llama,
  LlamaContext,
  LlamaContextSequence,
  LlamaGrammarEvaluationState,
  LlamaModel,
  Token,
  TokenBias,
} from 'node-llama-cpp';
import { DiscedgeError } from '../../domain/errors.ts';
import type { FlashAttention } from '../../domain/flash-attention.ts';
import type { TokenId, TokenSequence } from '../../domain/token-sequence.ts';
import type { Environment, Logger } from '../../environment/environment.ts';
import { checkGgufFile } from '../gguf-file.ts';
import { checkGrammar } from '../grammar/grammar-check.ts';
import { LLAMA_PACKAGE, loadLlamaLibrary, onLlamaLog, startLlama } from '../llama-library.ts';
import { VocabularyBytes } from '../vocabulary-bytes.ts';
import { BatchScheduler } from './decoding/batch-scheduler.ts';
import { containSampling } from './decoding/contain-sampling.ts';
import { SamplingSteps } from './decoding/sampling-steps.ts';
import { flashAttentionFor } from './flash-attention.ts';
import { LogitReader } from './next-token-logits.ts';

export interface EngineOptions {
  readonly modelPath: string;
  readonly contextTokens: number | undefined;
  /** KV sequences, each of `contextTokens`. */
  readonly parallel: number;
  readonly threads: number;
  /** Most ids evaluated in one call into llama.cpp, all sequences together. */
  readonly batchTokens: number;
  readonly gpu: 'auto' | false;
  readonly flashAttention: FlashAttention;
}

/** A loaded model with its KV sequences, in our types. Callers check ids first: an unknown id crashes llama.cpp. */
export interface EmbeddedEngine {
  readonly model: LlamaModel;
  readonly sequences: readonly LlamaContextSequence[];
  readonly contextTokens: number;
  readonly vocabularySize: number;
  /** What besides the model decides how a sequence's state looks in a file. */
  readonly build: Readonly<Record<string, unknown>>;
  tokenize(text: string, parseSpecial: boolean): TokenId[];
  /** Text of `ids` where `before` came before them; with `special` that of control tokens too. */
  detokenize(ids: TokenSequence, how: { readonly before: TokenSequence; readonly special: boolean }): string;
  bytesOf(id: TokenId): Uint8Array;
  /** False for control tokens, and for text that begins with NUL, where C ends it. */
  hasText(id: TokenId): boolean;
  newTokenBias(): TokenBias;
  /** Takes steps where ids are sampled. */
  readonly steps: SamplingSteps;
  newLogitReader(): LogitReader;
  /** Throws `invalid_request` for what is not GBNF, and for what llama.cpp would not survive. */
  startGrammar(grammar: string): Promise<LlamaGrammarEvaluationState>;
  dispose(): Promise<void>;
}

/** Throws `model_unusable`. */
export async function loadEngine(options: EngineOptions, environment: Environment): Promise<EmbeddedEngine> {
  const { logger } = environment;
  const library = await loadLlamaLibrary();
  await checkGgufFile(options.modelPath, (path) => library.readGgufFileInfo(path, { logWarnings: false }));
  const llama = await startLlama(library, options.gpu).catch((cause: unknown) => {
    throw unusable(options, 'cannot be run here: there is no llama.cpp for this machine; use llama-server', cause);
  });
  const complaints = new Complaints(logger);
  const model = await loadModel(llama, options, complaints);
  try {
    const contextTokens = Math.min(options.contextTokens ?? Infinity, model.trainContextSize);
    if (options.contextTokens !== undefined && contextTokens < options.contextTokens) {
      logger.warn('llm.context_bounded', { asked: options.contextTokens, trained: contextTokens });
    }
    const context = await createContext(model, { ...options, contextTokens, gpu: llama.gpu });
    new BatchScheduler({ batchTokens: options.batchTokens, clock: environment.clock }).schedule(context);
    containSampling(context);
    // After it: what a step throws is contained too.
    const steps = new SamplingSteps(context);
    complaints.loaded();
    const vocabulary = new VocabularyBytes(model.fileInfo.metadata.tokenizer?.ggml);
    return {
      model,
      sequences: Array.from({ length: options.parallel }, () => context.getSequence()),
      contextTokens,
      build: {
        ...{ binding: LLAMA_PACKAGE.version, llamaCpp: llama.llamaCppRelease, gpu: llama.gpu },
        ...{ platform: process.platform, arch: process.arch, flashAttention: context.flashAttention },
      },
      vocabularySize: model.fileInfo.metadata.tokenizer?.ggml?.tokens?.length ?? 0,
      tokenize: (text, parseSpecial) => model.tokenize(text, parseSpecial) as number[] as TokenId[],
      detokenize: (ids, { before, special }) => model.detokenize(tokens(ids), special, tokens(before)),
      bytesOf: (id) => vocabulary.bytesOf(id) ?? Buffer.from(model.detokenize(tokens([id]), true)),
      hasText: (id) =>
        !model.isSpecialToken(id as number as Token) && !model.detokenize(tokens([id])).startsWith('\u0000'),
      newTokenBias: () => new library.TokenBias(model.tokenizer),
      steps,
      newLogitReader: () => new LogitReader({ llama, model, context }),
      startGrammar: async (text) => {
        checkGrammar(text);
        const grammar = await llama.createGrammar({ grammar: text }).catch((cause: unknown) => {
          throw new DiscedgeError('invalid_request', 'grammar is not valid GBNF', { param: 'grammar', cause });
        });
        return new library.LlamaGrammarEvaluationState({ model, grammar });
      },
      dispose: async () => {
        await context.dispose();
        await model.dispose();
        complaints.stop();
      },
    };
  } catch (error) {
    await model.dispose();
    complaints.stop();
    throw error;
  }
}

/** Our ids in node-llama-cpp's type; both are plain numbers. */
export function tokens(ids: TokenSequence): Token[] {
  return ids as readonly number[] as Token[];
}

async function loadModel(llama: Llama, options: EngineOptions, complaints: Complaints): Promise<LlamaModel> {
  try {
    return await llama.loadModel({
      modelPath: options.modelPath,
      ...(options.gpu === false ? { gpuLayers: 0 } : {}),
    });
  } catch (cause) {
    const problem = await loadProblem(cause, complaints);
    complaints.stop();
    throw unusable(options, problem, cause);
  }
}

/** llama.cpp throws only "failed"; the reason is in its log. */
async function loadProblem(cause: unknown, complaints: Complaints): Promise<string> {
  const text = `${await complaints.arrived()}\n${cause instanceof Error ? cause.message : ''}`;
  const architecture = /unknown model architecture: '([^']*)'/.exec(text)?.[1];
  if (architecture !== undefined) return `has the architecture ${architecture}, which this llama.cpp cannot run`;
  if (/insufficient|not enough memory|unable to allocate/i.test(text)) return `does not fit in memory; ${SMALLER}`;
  if (/not within the file bounds|exceeds remaining|failed to read|out of range|end of file/i.test(text)) {
    return 'is truncated or damaged; download it again';
  }
  return `cannot be loaded by llama.cpp: ${text.trim().split('\n')[0]}`;
}

const SMALLER = 'use a smaller model, fewer context tokens or less parallel turns';

async function createContext(
  model: LlamaModel,
  options: Omit<EngineOptions, 'gpu'> & { readonly contextTokens: number; readonly gpu: string | false },
): Promise<LlamaContext> {
  try {
    return await model.createContext({
      contextSize: options.contextTokens,
      sequences: options.parallel,
      batchSize: options.batchTokens,
      threads: options.threads,
      flashAttention: flashAttentionFor(options.flashAttention, options.gpu),
      // A smaller window than asked for would be a silent surprise.
      failedCreationRemedy: false,
    });
  } catch (cause) {
    const { contextTokens, parallel } = options;
    const problem = `with ${parallel} sequences of ${contextTokens} ids does not fit in memory; ${SMALLER}`;
    throw unusable(options, problem, cause);
  }
}

function unusable({ modelPath }: Pick<EngineOptions, 'modelPath'>, problem: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('model_unusable', `model file ${modelPath} ${problem}`, { cause });
}

/** llama.cpp's warnings and errors. Their text goes to the log only until the model is loaded: later it may be content. */
class Complaints {
  #lines: string[] | undefined = [];
  readonly stop: () => void;

  constructor(logger: Logger) {
    this.stop = onLlamaLog((level, message) => {
      this.#lines?.push(message.trim());
      logger.debug('llm.llama_cpp', { level, message: this.#lines === undefined ? undefined : message.trim() });
    });
  }

  loaded(): void {
    this.#lines = undefined;
  }

  /** The native side hands its lines to the event loop; they may come after the error they explain. */
  async arrived(): Promise<string> {
    for (let turns = 0; turns < LOG_TURNS_MAX && this.#lines?.length === 0; turns++) await new Promise(setImmediate);
    return this.#lines?.join('\n') ?? '';
  }
}

/** Turns of the event loop to give a log line; a missing line only makes a message less exact. */
const LOG_TURNS_MAX = 50;
