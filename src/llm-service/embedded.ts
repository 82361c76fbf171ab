import { availableParallelism } from 'node:os';
import { ReadableStream } from 'node:stream/web';
import { digestText, TOKENIZER_PROBES, tokenizerDigest } from '../domain/model-identity.ts';
import type { TokenId, TokenSequence } from '../domain/token-sequence.ts';
import type { Environment, LogFields } from '../environment/environment.ts';
import { type EmbeddedEngine, loadEngine } from './embedded/engine.ts';
import { type EmbeddedGeneration, runGeneration } from './embedded/generation.ts';
import { closed, failed } from './embedded/generation-errors.ts';
import { MeasuredSpeeds } from './embedded/kept-state/measured-speeds.ts';
import { type KeepOptions, type OpenedKeeper, openKeeper } from './embedded/kept-state/open-keeper.ts';
import { PooledSequence } from './embedded/pooled-sequence.ts';
import { parseSampling } from './embedded/sampling.ts';
import { SequenceKeeping } from './embedded/sequence-keeping.ts';
import type { SequenceLease } from './embedded/sequence-pool.ts';
import { SequenceWarming } from './embedded/sequence-warming.ts';
import { StuckWatch } from './embedded/stuck-watch.ts';
import { textEndsOf } from './embedded/vocabulary.ts';
import type {
  GenerationEvent,
  GenerationRequest,
  GenerationUsage,
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
  const { modelPath, modelName, contextTokens, gpu = false } = options;
  const engine = await loadEngine(
    { modelPath, contextTokens, parallel, threads, batchTokens: prefillChunkTokens, gpu },
    environment.logger,
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
  readonly #environment: Environment;
  readonly #prefillChunkTokens: number;
  readonly #idleTimeoutMs: number;
  readonly #onStuck: () => void;
  readonly #sequences: SequenceKeeping;
  readonly #warming: ChunkedWarming;
  readonly #chunk: ChunkSize;
  readonly #speeds: MeasuredSpeeds;
  /** Generations from their queueing to their end. */
  readonly #running = new Set<Running>();
  /** What is inside llama.cpp, its readers gone or not. */
  readonly #evaluating = new Set<Promise<void>>();
  #closing: Promise<void> | undefined;

  constructor(engine: EmbeddedEngine, parts: ServiceParts) {
    const { description, environment, prefillChunkTokens, idleTimeoutMs, onStuck, kept, speeds, account } = parts;
    const { clock, logger } = environment;
    this.#engine = engine;
    this.description = description;
    this.#environment = environment;
    this.#prefillChunkTokens = prefillChunkTokens;
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#onStuck = onStuck;
    const sequences = engine.sequences.map((sequence, slot) => new PooledSequence(sequence, slot));
    this.#sequences = new SequenceKeeping(sequences, {
      ...{ keeper: kept?.keeper, account, sharesOwners: parts.sharesOwners, clock },
    });
    this.#speeds = speeds;
    this.#chunk = new ChunkSize(prefillChunkTokens);
    const engineToWarm = new SequenceWarming({
      ...{ sequences: this.#sequences, account, chunk: this.#chunk, speeds, clock },
      check: (prompt) => assertPrompt({ prompt, maxTokens: 0 }, description),
      watched: (evaluation) => this.#watched(evaluation),
    });
    this.#warming = new ChunkedWarming(engineToWarm, { account, logger });
    if (kept !== undefined) {
      this.keptStates = {
        status: kept.status,
        forget: (affinity) => this.#warming.forget(affinity),
        onFound: (listener) => listener(kept.found),
      };
    }
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

  /**
   * Sampling does not wait for the reader, so a slow client holds no sequence; what it has not read is bounded by the
   * context window. Breaking off the iteration resolves when the sequence is free again, or has been
   * given up.
   */
  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GenerationEvent> {
    signal.throwIfAborted();
    this.#assertOpen();
    assertPrompt(request, this.description);
    const abort = new AbortController();
    const onAbort = () => abort.abort(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    const { events, done } = this.#start(request, abort.signal);
    const running = { abort, done };
    this.#running.add(running);
    void done.then(() => this.#running.delete(running));
    try {
      // Not cancelled with the iteration: the generation may still write to it until it has seen the abort.
      for await (const event of events.values({ preventCancel: true })) {
        abort.signal.throwIfAborted();
        yield event;
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      abort.abort();
      await done;
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const { abort } of this.#running) abort.abort(closed());
    await Promise.all([...this.#running].map(({ done }) => done));
    await this.#warming.close();
    await Promise.all(this.#evaluating);
    await this.#sequences.idle();
    await this.#sequences.saveAll(SAVE_ALL_MS);
    await this.#engine.dispose();
  }

  /** Runs a generation to its end. `done` never rejects: what went wrong is told to the reader of `events`. */
  #start(
    request: GenerationRequest,
    signal: AbortSignal,
  ): { events: ReadableStream<GenerationEvent>; done: Promise<void> } {
    let done: Promise<void> = Promise.resolve();
    const events = new ReadableStream<GenerationEvent>({
      start: (controller) => {
        done = this.#run(request, signal, (event) => controller.enqueue(event)).then(
          () => controller.close(),
          (error: unknown) => controller.error(signal.aborted ? signal.reason : error),
        );
      },
    });
    return { events, done };
  }

  async #run(request: GenerationRequest, signal: AbortSignal, emit: (event: GenerationEvent) => void): Promise<void> {
    const sampling = parseSampling(request.sampling);
    const { grammar } = sampling;
    const seed = sampling.seed ?? Buffer.from(this.#environment.random.bytes(4)).readUInt32LE();
    const state = grammar === undefined ? undefined : await this.#engine.startGrammar(grammar);
    const leave = await this.#warming.enter(request.affinity);
    const lease = await this.#sequences.acquire(request, signal).catch((error: unknown) => {
      leave();
      throw error;
    });
    const watch = new StuckWatch({ ...this.#environment, caller: signal, idleTimeoutMs: this.#idleTimeoutMs });
    const evaluation = this.#evaluate(lease, {
      request,
      sampling,
      seed,
      grammar: state,
      endOfGeneration: this.description.endOfGeneration,
      prefillChunkTokens: this.#prefillChunkTokens,
      signal: watch.signal,
      emit: (event) => {
        if (!watch.signal.aborted) emit(event);
      },
      progressed: watch.progressed,
    }).finally(leave);
    await this.#unlessStuck(evaluation, watch, { promptTokens: request.prompt.length, grammar: state !== undefined });
  }

  /** An evaluation that is no generation's. */
  async #watched(evaluation: Promise<void>): Promise<void> {
    const ended = evaluation.catch(() => undefined);
    this.#evaluating.add(ended);
    void ended.then(() => this.#evaluating.delete(ended));
    const { signal: caller } = new AbortController();
    const watch = new StuckWatch({ ...this.#environment, caller, idleTimeoutMs: this.#idleTimeoutMs });
    await this.#unlessStuck(evaluation, watch, { warming: true });
  }

  async #unlessStuck(evaluation: Promise<void>, watch: StuckWatch, named: LogFields): Promise<void> {
    const gaveUp = watch.gaveUp.catch((reason: unknown) => {
      this.#environment.logger.error('llm.sequence_stuck', named);
      this.#onStuck();
      throw reason;
    });
    await Promise.race([evaluation, gaveUp]).finally(() => watch.end());
  }

  /** Holds the sequence until llama.cpp has come back, which may be after everyone has gone. */
  async #evaluate(lease: SequenceLease<PooledSequence>, generation: EmbeddedGeneration): Promise<void> {
    const { signal, request } = generation;
    const { sequence } = lease;
    const { clock, logger } = this.#environment;
    const startedMs = clock.monotonic();
    const running = this.#sequences
      .prepare(lease, request)
      .then(async ({ restoredTokens, preparedMs, warm, keepAt }) => {
        const place = { engine: this.#engine, sequence: sequence.sequence, slot: sequence.slot, clock };
        const emit = (event: GenerationEvent) => {
          if (event.kind === 'end') this.#measured(event.usage, preparedMs);
          generation.emit(event);
        };
        const found = this.#warming.account.finding(warm);
        try {
          await runGeneration({ ...generation, emit }, { ...place, startedMs, restoredTokens, found, keepAt });
        } finally {
          found(0);
        }
      });
    const ended = running.catch(() => undefined);
    this.#evaluating.add(ended);
    try {
      await running;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      logger.warn('llm.generation_failed', { promptTokens: request.prompt.length }, error);
      // llama.cpp and node-llama-cpp may disagree now about what the sequence holds.
      await sequence.clear();
      throw failed(error, generation);
    } finally {
      this.#evaluating.delete(ended);
      this.#sequences.giveBack(lease);
    }
  }

  #measured({ evaluatedTokens, promptMs, predictedTokens, predictedMs }: GenerationUsage, preparedMs: number): void {
    this.#speeds.evaluate.took(evaluatedTokens, promptMs - preparedMs);
    // Its first id came with the prompt.
    this.#chunk.sampled(predictedTokens - 1, predictedMs);
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw closed();
  }
}

interface Running {
  readonly abort: AbortController;
  readonly done: Promise<void>;
}
