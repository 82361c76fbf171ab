import { availableParallelism } from 'node:os';
import { digestText, TOKENIZER_PROBES, tokenizerDigest } from '../domain/cluster/model-identity.ts';
import type { FlashAttention } from '../domain/flash-attention.ts';
import type { TokenId, TokenSequence } from '../domain/token-sequence.ts';
import type { Environment } from '../environment/environment.ts';
import { type EmbeddedEngine, loadEngine } from './embedded/engine.ts';
import { Evaluations } from './embedded/evaluations.ts';
import { closed } from './embedded/generation-errors.ts';
import { Generations } from './embedded/generations.ts';
import { MeasuredSpeeds } from './embedded/kept-state/measured-speeds.ts';
import { type KeepOptions, type OpenedKeeper, openKeeper } from './embedded/kept-state/open-keeper.ts';
import { PooledSequence } from './embedded/pooled-sequence.ts';
import { SequenceKeeping } from './embedded/sequence-keeping.ts';
import { SequenceWarming } from './embedded/sequence-warming.ts';
import { textEndsOf } from './embedded/vocabulary.ts';
import type {
  GenerationEvent,
  GenerationRequest,
  KeptStateStatus,
  KeptStates,
  LlmDescription,
  LlmService,
  SlotState,
  Warming,
} from './llm-service.ts';
import { modelNameFromFile } from './model-name.ts';
import { assertPrompt, assertVocabulary } from './prompt-checks.ts';
import { ChunkSize } from './warming/chunk-size.ts';
import { ChunkedWarming } from './warming/chunked-warming.ts';
import { WarmAccount } from './warming/warm-account.ts';

export interface EmbeddedOptions {
  /** A GGUF file. */
  readonly modelPath: string;
  /** Name in the model identity; made from the file's name when left out. */
  readonly modelName?: string | undefined;
  /** Jinja source in place of the model's own. */
  readonly chatTemplate?: string | undefined;
  /** Ids that prompt and reply may have together; at most, and by default, what the model was trained with. */
  readonly contextTokens?: number | undefined;
  /** Generations at once, each with a KV sequence of `contextTokens`. */
  readonly parallel?: number | undefined;
  /** Compute threads. One core less than there are: threads that spin against the event loop slow every id. */
  readonly threads?: number | undefined;
  /** Prompt ids evaluated between two looks at the abort signal, and in one batch of all sequences. */
  readonly prefillChunkTokens?: number | undefined;
  readonly gpu?: 'auto' | false | undefined;
  /** `auto` if left out. */
  readonly flashAttention?: FlashAttention | undefined;
  /** A generation that produces neither an id nor a prefill chunk for this long ends with `llm_timeout`. */
  readonly idleTimeoutMs?: number | undefined;
  /** Told when a call into llama.cpp has been given up: its sequence, and a thread, may be gone until this process ends. */
  readonly onStuck?: (() => void) | undefined;
  /** Where sessions' KV state goes that lose their sequence; none is kept if left out. */
  readonly keep?: KeepOptions | undefined;
  /** Told whenever there is other state kept. */
  readonly onKept?: ((status: KeptStateStatus) => void) | undefined;
  /** Whether a generation may go on from the KV state of another owner whose ids are equal, which can be timed. */
  readonly sharesOwners?: boolean | undefined;
}

/**
 * llama.cpp in this process, through node-llama-cpp; a node starts it in one of its own. Throws `model_unusable` when
 * this llama.cpp cannot run the file, or when it does not fit in memory. Closing waits for every call into llama.cpp, as
 * freeing what a thread works on would end the process.
 */
export async function startEmbedded(options: EmbeddedOptions, environment: Environment): Promise<LlmService> {
  const { parallel = 4, threads = Math.max(1, availableParallelism() - 1), prefillChunkTokens = 256 } = options;
  const { modelPath, modelName, contextTokens, gpu = false, flashAttention = 'auto' } = options;
  const engine = await loadEngine(
    { modelPath, contextTokens, parallel, threads, batchTokens: prefillChunkTokens, gpu, flashAttention },
    environment,
  );
  const speeds = new MeasuredSpeeds();
  const account = new WarmAccount();
  const kept =
    options.keep &&
    (await openKeeper(options.keep, {
      boundTo: { modelPath, engine: engine.build },
      tokensMax: engine.contextTokens,
      environment,
      speeds,
      onChange: options.onKept ?? (() => {}),
      onWarmLost: (span) => account.lost(span),
    }));
  return new EmbeddedLlmService(engine, {
    environment,
    kept,
    speeds,
    account,
    sharesOwners: options.sharesOwners ?? false,
    prefillChunkTokens,
    idleTimeoutMs: options.idleTimeoutMs ?? 120_000,
    onStuck: options.onStuck ?? (() => {}),
    description: describe(engine, modelName ?? modelNameFromFile(modelPath), options.chatTemplate),
  });
}

function describe(engine: EmbeddedEngine, name: string, ownTemplate: string | undefined): LlmDescription {
  const { model, tokenize, contextTokens, vocabularySize } = engine;
  const chatTemplate = ownTemplate ?? model.fileInfo.metadata.tokenizer?.chat_template;
  return {
    identity: {
      name,
      tokenizerDigest: tokenizerDigest(TOKENIZER_PROBES.map((text) => tokenize(text, false))),
      templateDigest: digestText(chatTemplate ?? ''),
    },
    contextTokens,
    vocabularySize,
    chatTemplate,
    ...textEndsOf(model),
  };
}

/** A node that is to stop waits for it. */
const SAVE_ALL_MS = 3_000;

interface ServiceParts {
  readonly description: LlmDescription;
  readonly environment: Environment;
  readonly prefillChunkTokens: number;
  readonly idleTimeoutMs: number;
  readonly onStuck: () => void;
  readonly kept: OpenedKeeper | undefined;
  readonly speeds: MeasuredSpeeds;
  readonly account: WarmAccount;
  readonly sharesOwners: boolean;
}

class EmbeddedLlmService implements LlmService {
  readonly description: LlmDescription;
  readonly keptStates?: KeptStates;
  readonly #engine: EmbeddedEngine;
  readonly #sequences: SequenceKeeping;
  readonly #evaluations: Evaluations;
  readonly #warming: ChunkedWarming;
  readonly #generations: Generations;
  #closing: Promise<void> | undefined;

  constructor(engine: EmbeddedEngine, parts: ServiceParts) {
    const { description, environment, prefillChunkTokens, kept, speeds, account } = parts;
    const { clock, logger } = environment;
    this.#engine = engine;
    this.description = description;
    const pooled = engine.sequences.map((sequence, slot) => new PooledSequence(sequence, slot));
    const sequences = new SequenceKeeping(pooled, {
      ...{ keeper: kept?.keeper, account, sharesOwners: parts.sharesOwners, clock },
    });
    const evaluations = new Evaluations(parts);
    const chunk = new ChunkSize(prefillChunkTokens);
    const engineToWarm = new SequenceWarming({
      ...{ sequences, account, chunk, speeds, clock },
      check: (prompt) => assertPrompt({ prompt, maxTokens: 0 }, description),
      watched: (evaluation) => evaluations.watched(evaluation),
    });
    const warming = new ChunkedWarming(engineToWarm, { account, clock, logger });
    this.#sequences = sequences;
    this.#evaluations = evaluations;
    this.#warming = warming;
    this.#generations = new Generations({
      ...{ engine, description, environment, sequences, warming, evaluations, speeds, chunk, prefillChunkTokens },
    });
    if (kept !== undefined) {
      this.keptStates = {
        status: kept.status,
        forget: (affinity) => warming.forget(affinity),
        onFound: (listener) => listener(kept.found),
      };
    }
  }

  get parallel(): number {
    return this.#engine.sequences.length;
  }

  get warming(): Warming {
    return this.#warming;
  }

  async tokenize(text: string, options: { readonly parseSpecial: boolean }): Promise<TokenId[]> {
    this.#assertOpen();
    return this.#engine.tokenize(text, options.parseSpecial);
  }

  async detokenize(ids: TokenSequence, { special } = { special: false }): Promise<string> {
    this.#assertOpen();
    assertVocabulary(ids, this.description);
    return this.#engine.detokenize(ids, { before: [], special });
  }

  async pieces(ids: TokenSequence): Promise<Uint8Array[]> {
    this.#assertOpen();
    assertVocabulary(ids, this.description);
    return ids.map((id) => this.#engine.bytesOf(id));
  }

  slots(): readonly SlotState[] {
    return this.#sequences.states();
  }

  async ready(): Promise<void> {
    this.#assertOpen();
  }

  /** See {@link Generations.generate}. */
  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GenerationEvent> {
    signal.throwIfAborted();
    this.#assertOpen();
    assertPrompt(request, this.description);
    yield* this.#generations.generate(request, signal);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#generations.end(closed());
    await this.#warming.close();
    await this.#evaluations.ended();
    await this.#sequences.idle();
    await this.#sequences.saveAll(SAVE_ALL_MS);
    await this.#engine.dispose();
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw closed();
  }
}
