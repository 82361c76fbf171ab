import { ReadableStream } from 'node:stream/web';
import type { Environment } from '../../environment/environment.ts';
import type { GenerationEvent, GenerationRequest, GenerationUsage, LlmDescription } from '../llm-service.ts';
import type { ChunkSize } from '../warming/chunk-size.ts';
import type { ChunkedWarming } from '../warming/chunked-warming.ts';
import type { EmbeddedEngine } from './engine.ts';
import type { Evaluations } from './evaluations.ts';
import { type EmbeddedGeneration, runGeneration } from './generation.ts';
import { failed } from './generation-errors.ts';
import type { MeasuredSpeeds } from './kept-state/measured-speeds.ts';
import type { PooledSequence } from './pooled-sequence.ts';
import { parseSampling } from './sampling.ts';
import type { SequenceKeeping } from './sequence-keeping.ts';
import type { SequenceLease } from './sequence-pool.ts';

export interface GenerationsParts {
  readonly engine: EmbeddedEngine;
  readonly description: LlmDescription;
  readonly environment: Environment;
  readonly sequences: SequenceKeeping;
  readonly warming: ChunkedWarming;
  readonly evaluations: Evaluations;
  readonly speeds: MeasuredSpeeds;
  readonly chunk: ChunkSize;
  readonly prefillChunkTokens: number;
}

interface Running {
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

/** The generations of one engine, each from its queueing to its end. */
export class Generations {
  readonly #parts: GenerationsParts;
  readonly #running = new Set<Running>();

  constructor(parts: GenerationsParts) {
    this.#parts = parts;
  }

  /**
   * Sampling does not wait for the reader, so a slow client holds no sequence; what it has not read is bounded by the
   * context window. Breaking off the iteration resolves when the sequence is free again, or has been
   * given up.
   */
  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GenerationEvent> {
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

  /** Aborts all of them, and resolves when they have ended, or have been given up. */
  async end(reason: unknown): Promise<void> {
    for (const { abort } of this.#running) abort.abort(reason);
    await Promise.all([...this.#running].map(({ done }) => done));
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
    const { engine, description, environment, sequences, warming, evaluations, prefillChunkTokens } = this.#parts;
    const sampling = parseSampling(request.sampling);
    const { grammar } = sampling;
    const seed = sampling.seed ?? Buffer.from(environment.random.bytes(4)).readUInt32LE();
    const state = grammar === undefined ? undefined : await engine.startGrammar(grammar);
    const leave = await warming.enter(request.affinity, signal);
    const lease = await sequences.acquire(request, signal).catch((error: unknown) => {
      leave();
      throw error;
    });
    const watch = evaluations.watch(signal);
    const evaluation = this.#evaluate(lease, {
      request,
      sampling,
      seed,
      grammar: state,
      endOfGeneration: description.endOfGeneration,
      prefillChunkTokens,
      signal: watch.signal,
      emit: (event) => {
        if (!watch.signal.aborted) emit(event);
      },
      progressed: watch.progressed,
    }).finally(leave);
    await evaluations.unlessStuck(evaluation, watch, {
      promptTokens: request.prompt.length,
      grammar: state !== undefined,
    });
  }

  /** Holds the sequence until llama.cpp has come back, which may be after everyone has gone. */
  async #evaluate(lease: SequenceLease<PooledSequence>, generation: EmbeddedGeneration): Promise<void> {
    const { signal, request } = generation;
    const { sequence } = lease;
    const { engine, sequences, warming, evaluations } = this.#parts;
    const { clock, logger } = this.#parts.environment;
    const startedMs = clock.monotonic();
    const running = sequences.prepare(lease, request).then(async ({ restoredTokens, preparedMs, warm, keepAt }) => {
      const place = { engine, sequence: sequence.sequence, slot: sequence.slot, clock };
      const emit = (event: GenerationEvent) => {
        if (event.kind === 'end') this.#measured(event.usage, preparedMs);
        generation.emit(event);
      };
      const found = warming.account.finding(warm);
      try {
        await runGeneration({ ...generation, emit }, { ...place, startedMs, restoredTokens, found, keepAt });
      } finally {
        found(0);
      }
    });
    evaluations.hold(running);
    try {
      await running;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      logger.warn('llm.generation_failed', { promptTokens: request.prompt.length }, error);
      // llama.cpp and node-llama-cpp may disagree now about what the sequence holds.
      await sequence.clear().catch((cause: unknown) => logger.warn('llm.sequence_not_cleared', {}, cause));
      throw failed(error, generation);
    } finally {
      sequences.giveBack(lease);
    }
  }

  #measured({ evaluatedTokens, promptMs, predictedTokens, predictedMs }: GenerationUsage, preparedMs: number): void {
    this.#parts.speeds.evaluate.took(evaluatedTokens, promptMs - preparedMs);
    // Its first id came with the prompt.
    this.#parts.chunk.replied(predictedTokens - 1, predictedMs);
  }
}
