import type { DiscedgeError } from '../../domain/errors.ts';
import type { TokenId } from '../../domain/token-sequence.ts';
import type { Clock, Environment, Logger } from '../../environment/environment.ts';
import { within } from '../../waiting/within.ts';
import type {
  GenerationEvent,
  GenerationRequest,
  KeptStateStatus,
  LlmDescription,
  LlmService,
  WarmOutcome,
  WarmRequest,
} from '../llm-service.ts';
import { EngineCalls } from './engine-calls.ts';
import { endedAtStart, engineEnded, engineHangs } from './engine-failures.ts';
import type { FromEngine, ToEngine } from './messages.ts';
import type { ToldWarming } from './process-warming.ts';
import { receivedError } from './sent-error.ts';

/** One process with an engine in it, as whoever starts it hands it over. */
export interface EngineProcess {
  readonly pid: number | undefined;
  send(message: ToEngine): void;
  onMessage(listener: (message: FromEngine) => void): void;
  /** Resolves when the process is gone, or could not be started, with how: "SIGKILL", "exit code 1". Never rejects. */
  readonly ended: Promise<string>;
  /** kill -9: an engine has nothing to lose. */
  kill(): void;
}

export interface StartedEngine {
  readonly description: LlmDescription;
  /** Generations that it runs side by side. */
  readonly slots: number;
}

/** Who hears what an engine tells unasked. */
export interface EngineListener {
  onStuck(): void;
  onFound(affinities: readonly string[]): void;
  onKept(status: KeptStateStatus): void;
  onWarming(told: ToldWarming): void;
}

/** One that says nothing for so long after it was asked has an event loop that hangs: an 8 MiB text is tokenized by then. */
const SILENT_MS = 60_000;
/** How long the readiness of an engine may take to be told. */
const READY_MS = 5_000;

/** The node's end of one engine process: its calls under way. All of them end with it. One that hangs is ended. */
export class EngineLink {
  /** Rejects when the engine cannot be started, with what it says, or with `model_unusable` when it just ends. */
  readonly started: Promise<StartedEngine>;
  readonly ended: Promise<string>;
  readonly pid: number | undefined;
  readonly #process: EngineProcess;
  readonly #clock: Clock;
  readonly #calls: EngineCalls;
  /** Ends each call that warms. */
  readonly #warming = new Set<() => void>();
  #cancelWatch: () => void = () => {};
  #wasHeard = true;

  constructor(process: EngineProcess, { clock, logger }: Environment, told: EngineListener) {
    this.#process = process;
    this.#clock = clock;
    this.#calls = new EngineCalls((message) => process.send(message));
    this.pid = process.pid;
    this.started = new Promise((resolve, reject) => {
      process.onMessage((message) => {
        this.#wasHeard = true;
        if (message.kind === 'started') {
          this.#watch();
          resolve(message);
        } else if (message.kind === 'not-started') reject(receivedError(message.error));
        else if (message.kind === 'stuck') told.onStuck();
        else if (message.kind === 'found') told.onFound(message.affinities);
        else if (message.kind === 'kept') told.onKept(message.status);
        else if (message.kind === 'warming') told.onWarming(message);
        else if (message.kind === 'log') writeLine(logger, message);
        else this.#calls.answered(message);
      });
      void process.ended.then((how) => reject(endedAtStart(how)));
    });
    this.started.catch(() => undefined);
    this.ended = process.ended.then((how) => {
      this.#end(engineEnded(how));
      return how;
    });
  }

  async tokenize(...args: Parameters<LlmService['tokenize']>): Promise<TokenId[]> {
    const ids = await this.#calls.ask((call) => ({ kind: 'tokenize', call, args }));
    return Array.from(ids as Int32Array) as TokenId[];
  }

  async detokenize(...args: Parameters<LlmService['detokenize']>): Promise<string> {
    return (await this.#calls.ask((call) => ({ kind: 'detokenize', call, args }))) as string;
  }

  async pieces(...args: Parameters<LlmService['pieces']>): Promise<Uint8Array[]> {
    return (await this.#calls.ask((call) => ({ kind: 'pieces', call, args }))) as Uint8Array[];
  }

  async ready(): Promise<void> {
    await within({ clock: this.#clock, waitMs: READY_MS }, this.#ask(), () => {
      throw engineHangs(READY_MS);
    });
  }

  /** Breaking off the iteration resolves when the engine has ended the generation. */
  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GenerationEvent> {
    signal.throwIfAborted();
    const events: GenerationEvent[] = [];
    let wake: () => void = () => {};
    let outcome: { readonly error: unknown } | undefined;
    const end = (error: unknown) => {
      outcome = { error };
      wake();
    };
    const asked = (call: number): ToEngine => {
      return { kind: 'generate', call, request: { ...request, prompt: Int32Array.from(request.prompt) } };
    };
    const call = this.#calls.open(asked, {
      onEvent: (event) => {
        events.push(event);
        wake();
      },
      onEnd: () => end(undefined),
      onError: end,
    });
    const abort = () => {
      if (outcome === undefined && call !== undefined) this.#process.send({ kind: 'abort', call });
    };
    signal.addEventListener('abort', abort, { once: true });
    const more = () =>
      new Promise<void>((resolve) => {
        wake = resolve;
      });
    try {
      for (let read = 0; ; ) {
        if (signal.aborted) break;
        const event = events[read];
        if (event !== undefined) {
          read++;
          yield event;
        } else if (outcome !== undefined) break;
        else await more();
      }
    } finally {
      signal.removeEventListener('abort', abort);
      abort();
      while (outcome === undefined) await more();
    }
    signal.throwIfAborted();
    if (outcome?.error !== undefined) throw outcome.error;
  }

  async warm(request: WarmRequest, signal: AbortSignal): Promise<WarmOutcome> {
    // What has been forgotten by now would not be again.
    signal.throwIfAborted();
    let sent: number | undefined;
    const abort = () => {
      if (sent !== undefined) this.#process.send({ kind: 'abort', call: sent });
    };
    signal.addEventListener('abort', abort, { once: true });
    this.#warming.add(abort);
    try {
      const outcome = await this.#calls.ask((call) => {
        sent = call;
        return { kind: 'warm', call, request: { ...request, prompt: Int32Array.from(request.prompt) } };
      });
      return outcome as WarmOutcome;
    } finally {
      this.#warming.delete(abort);
      signal.removeEventListener('abort', abort);
    }
  }

  /** Ends what is evaluated ahead of need. */
  stopWarming(): void {
    for (const stop of this.#warming) stop();
  }

  async forgetAll(part: string): Promise<void> {
    await this.#calls.ask((call) => ({ kind: 'forget-all', call, part }));
  }

  /** Whether it takes no call any more: it has ended, or is to end. */
  get isGone(): boolean {
    return this.#calls.haveEnded;
  }

  /** What is not answered. */
  tell(message: Extract<ToEngine, { readonly affinity: string }>): void {
    if (!this.isGone) this.#process.send(message);
  }

  /** Resolves when no call is under way. */
  idle(): Promise<void> {
    return this.#calls.idle();
  }

  /** Ends every call with `error`, and has the process save what it has and end by itself, which may take so long; else it is killed. */
  async close(error: DiscedgeError, waitMs: number): Promise<void> {
    this.#end(error);
    this.#process.send({ kind: 'close' });
    await within({ clock: this.#clock, waitMs }, this.ended, () => undefined);
    this.#process.kill();
  }

  /** Ends every call with `error`, and the process. */
  kill(error: DiscedgeError): void {
    this.#end(error);
    this.#process.kill();
  }

  /** An event loop that hangs can tell of nothing by itself. */
  #watch(): void {
    if (this.isGone) return;
    if (!this.#wasHeard) {
      this.kill(engineHangs(SILENT_MS));
      return;
    }
    this.#wasHeard = false;
    this.#ask().catch(() => undefined);
    this.#cancelWatch = this.#clock.after(SILENT_MS, () => this.#watch());
  }

  async #ask(): Promise<void> {
    await this.#calls.ask((call) => ({ kind: 'ready', call }));
  }

  #end(error: DiscedgeError): void {
    this.#cancelWatch();
    this.#calls.end(error);
  }
}

function writeLine(logger: Logger, line: Extract<FromEngine, { readonly kind: 'log' }>): void {
  const { level, event, fields } = line;
  logger[level](event, fields, line.error && receivedError(line.error));
}
