import { keygroupOf } from '../domain/cluster/model-identity.ts';
import { DiscedgeError } from '../domain/errors.ts';
import type { TokenId, TokenSequence } from '../domain/token-sequence.ts';
import type { Environment } from '../environment/environment.ts';
import { abortable } from '../waiting/abortable.ts';
import { BackOff } from '../waiting/back-off.ts';
import { Pause } from '../waiting/pause.ts';
import { within } from '../waiting/within.ts';
import { EngineLink, type EngineListener, type EngineProcess } from './engine-process/engine-link.ts';
import { ProcessKeptStates } from './engine-process/process-kept-states.ts';
import { ProcessWarming } from './engine-process/process-warming.ts';
import type {
  EngineProcessStatus,
  GenerationEvent,
  GenerationRequest,
  KeptStates,
  LlmDescription,
  LlmService,
  SlotState,
} from './llm-service.ts';
import { assertPrompt, assertVocabulary } from './prompt-checks.ts';

const RESTART_DELAY_FIRST_MS = 100;
/** Longest wait between two starts. */
const RESTART_DELAY_MAX_MS = 30_000;
/** An engine that lived so long has not ended because of how it was started. */
const CALM_MS = 30_000;
/** How long a call waits for an engine that is being started again: a small model is loaded by then. */
const RESTART_WAIT_MS = 10_000;
/** How long an engine may take to save what it has when the node closes. */
const CLOSE_WAIT_MS = 5_000;
/** How long what runs beside a call that hangs may go on before the process is ended. */
const RETIRE_WAIT_MS = 30_000;

/**
 * An engine in a process of its own: whatever native code does there ends that process and the generations in it, with a
 * retryable `llm_unavailable`, and nothing else. It is then started again, for ever, at most 30 s apart. Throws what keeps
 * the first one from starting; `signal` ends a start under way.
 */
export async function startEngineProcess(
  launch: () => EngineProcess,
  environment: Environment,
  signal?: AbortSignal,
): Promise<LlmService> {
  const states = new ProcessKeptStates();
  const link = new EngineLink(launch(), environment, {
    ...states.listener,
    onStuck: () => service?.retire(link),
    onWarming: (told) => service?.warming.told(told),
  });
  const onAbort = () => link.kill(closed());
  let service: EngineProcessService | undefined;
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    signal?.throwIfAborted();
    service = new EngineProcessService({ launch, environment, states, ...(await link.started) }, link);
    return service;
  } catch (error) {
    link.kill(closed());
    throw error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

interface Parts {
  readonly launch: () => EngineProcess;
  readonly environment: Environment;
  readonly description: LlmDescription;
  readonly slots: number;
  readonly states: ProcessKeptStates;
}

class EngineProcessService implements LlmService {
  readonly description: LlmDescription;
  readonly keptStates: KeptStates;
  readonly warming: ProcessWarming;
  readonly #parts: Parts;
  readonly #backOff = new BackOff({ firstMs: RESTART_DELAY_FIRST_MS, maxMs: RESTART_DELAY_MAX_MS });
  readonly #supervision: Promise<void>;
  /** The one that takes calls; `undefined` while there is none. */
  #link: EngineLink | undefined;
  /** Resolves with the next one that takes calls. */
  #next: Promise<EngineLink> = Promise.resolve() as Promise<never>;
  #resolveNext: (link: EngineLink) => void = () => {};
  /** The one whose process is there: it takes calls, is being started, or is to end. */
  #alive: EngineLink;
  #pause: Pause | undefined;
  #restarts = 0;
  #generating = 0;
  readonly #closing = new AbortController();

  constructor(parts: Parts, first: EngineLink) {
    this.#parts = parts;
    this.description = parts.description;
    this.#alive = first;
    this.keptStates = parts.states.through(() => this.#link);
    this.warming = new ProcessWarming(parts.description, {
      next: (signal) => this.#engine(signal),
      current: () => this.#link,
      closing: this.#closing.signal,
    });
    this.#up(first);
    this.#supervision = this.#keepRunning(first);
  }

  get parallel(): number {
    return this.#parts.slots;
  }

  get process(): EngineProcessStatus {
    return { isUp: this.#link !== undefined, pid: this.#link?.pid, restarts: this.#restarts };
  }

  async tokenize(text: string, options: { readonly parseSpecial: boolean }): Promise<TokenId[]> {
    return (await this.#engine()).tokenize(text, options);
  }

  async detokenize(ids: TokenSequence, options?: { readonly special: boolean }): Promise<string> {
    assertVocabulary(ids, this.description);
    return (await this.#engine()).detokenize(ids, options);
  }

  async pieces(ids: TokenSequence): Promise<Uint8Array[]> {
    assertVocabulary(ids, this.description);
    return (await this.#engine()).pieces(ids);
  }

  /** How many are busy is true; which of them, only the engine knows. */
  slots(): readonly SlotState[] {
    return Array.from({ length: this.#parts.slots }, (_, place) => ({ busy: place < this.#generating }));
  }

  async ready(): Promise<void> {
    this.#closing.signal.throwIfAborted();
    if (this.#link === undefined) throw startingAgain();
    await this.#link.ready();
  }

  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GenerationEvent> {
    signal.throwIfAborted();
    assertPrompt(request, this.description);
    const link = await this.#engine(signal);
    this.#generating++;
    try {
      yield* link.generate(request, signal);
    } finally {
      this.#generating--;
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(closed());
    this.#pause?.end();
    if (this.#link === this.#alive && this.#parts.states.keeps) await this.#alive.close(closed(), CLOSE_WAIT_MS);
    else this.#alive.kill(closed());
    await this.#supervision;
  }

  /** A call hangs in it: it takes no more, and is ended once the others have come to their end. */
  async retire(link: EngineLink): Promise<void> {
    if (this.#link !== link) return;
    this.#down();
    this.#parts.environment.logger.error('llm.engine_stuck', this.#named());
    // It would wait for the call that hangs, as for every generation.
    link.stopWarming();
    await within({ clock: this.#parts.environment.clock, waitMs: RETIRE_WAIT_MS }, link.idle(), () => {});
    link.kill(startingAgain());
  }

  async #engine(signal?: AbortSignal): Promise<EngineLink> {
    this.#closing.signal.throwIfAborted();
    if (this.#link !== undefined) return this.#link;
    const stop = signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
    const wait = { clock: this.#parts.environment.clock, waitMs: RESTART_WAIT_MS };
    return abortable(
      within(wait, this.#next, () => {
        throw startingAgain();
      }),
      stop,
    );
  }

  /** The one place that starts an engine again, so there are never two. */
  async #keepRunning(first: EngineLink): Promise<void> {
    const { clock, logger } = this.#parts.environment;
    let link: EngineLink | undefined = first;
    while (!this.#closing.signal.aborted) {
      if (link !== undefined) {
        const startedMs = clock.monotonic();
        const how = await link.ended;
        this.#parts.states.ended();
        this.warming.ended();
        if (this.#link === link) this.#down();
        if (this.#closing.signal.aborted) return;
        if (clock.monotonic() - startedMs >= CALM_MS) this.#backOff.reset();
        logger.error('llm.engine_ended', { ...this.#named(), how, restartInMs: this.#backOff.nextMs });
      }
      this.#pause = new Pause(clock, this.#backOff.next(), this.#closing.signal);
      await this.#pause.over;
      if (this.#closing.signal.aborted) return;
      link = await this.#startAgain();
    }
    // Closed while it was started: whatever came of that is gone.
    await link?.ended;
  }

  /** `undefined` when it cannot be started now. */
  async #startAgain(): Promise<EngineLink | undefined> {
    const { launch, environment, states } = this.#parts;
    const { logger } = environment;
    let link: EngineLink | undefined;
    try {
      const told: EngineListener = {
        ...states.listener,
        onStuck: () => void this.retire(started),
        onWarming: (warming) => this.warming.told(warming),
      };
      const started: EngineLink = new EngineLink(launch(), environment, told);
      link = started;
      this.#alive = link;
      this.#assertSame((await link.started).description);
      if (this.#closing.signal.aborted) throw closed();
      this.#up(link);
      this.#restarts++;
      logger.warn('llm.engine_restarted', { ...this.#named(), restarts: this.#restarts });
      return link;
    } catch (error) {
      link?.kill(closed());
      await link?.ended;
      if (this.#closing.signal.aborted) return undefined;
      logger.error('llm.engine_start_failed', { ...this.#named(), retryInMs: this.#backOff.nextMs }, error);
      return undefined;
    }
  }

  /** The file may have been replaced meanwhile, and contexts must never meet another model's ids. */
  #assertSame({ identity, contextTokens, vocabularySize }: LlmDescription): void {
    const { description } = this;
    const isSame =
      keygroupOf(identity) === keygroupOf(description.identity) &&
      contextTokens === description.contextTokens &&
      vocabularySize === description.vocabularySize;
    if (isSame) return;
    throw new DiscedgeError('model_unusable', 'the model file is another one now; start the node again to serve it');
  }

  #up(link: EngineLink): void {
    this.#link = link;
    this.#resolveNext(link);
  }

  #down(): void {
    this.#link = undefined;
    this.#next = new Promise((resolve) => {
      this.#resolveNext = resolve;
    });
  }

  #named(): { readonly model: string } {
    return { model: this.description.identity.name };
  }
}

function startingAgain(): DiscedgeError {
  const message = 'the process that llama.cpp runs in is being started again; try again later';
  return new DiscedgeError('llm_unavailable', message, { retryAfterMs: RETRY_AFTER_MS });
}

/** A small model has been loaded again by then. */
const RETRY_AFTER_MS = 1_000;

function closed(): DiscedgeError {
  return new DiscedgeError('llm_unavailable', 'the LLM Service is closed');
}
