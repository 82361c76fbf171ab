import { type ContextStore, isWatchable } from '../context-store/context-store.ts';
import { replyReserve } from '../domain/context-window.ts';
import { DiscedgeError } from '../domain/errors.ts';
import { EXPIRY_GRACE_MS } from '../domain/expiry.ts';
import { type KeygroupId, type SessionId, type SessionKey, sessionKeyText } from '../domain/identifiers.ts';
import { keygroupOf } from '../domain/model-identity.ts';
import type { Turn } from '../domain/session-history.ts';
import { type ContextMode, type StoredMode, sessionKeyOf } from '../domain/turn-record.ts';
import type { Environment } from '../environment/environment.ts';
import type { ChatTemplate } from '../llm-service/chat-template.ts';
import type { GenerationEnd, LlmService } from '../llm-service/llm-service.ts';
import { Arrivals } from './arrivals.ts';
import type { ContextManagerOptions } from './context-manager-options.ts';
import { type Fork, type ForkRequest, Forks } from './forks.ts';
import { generateReply } from './generate-reply.ts';
import type { Mode, Prompt } from './mode.ts';
import { clientSideMode } from './mode-client-side.ts';
import { rawMode } from './mode-raw.ts';
import { tokenizedMode } from './mode-tokenized.ts';
import { newTurnRecord } from './new-turn-record.ts';
import { RecordWriter } from './record-writer.ts';
import { eventPolicy, fixedPolicy, type LookAgainPolicy, ReplicaWait } from './replica-wait.ts';
import type { RunningTurn } from './running-turn.ts';
import { RunningTurns } from './running-turns.ts';
import { SessionCache } from './session-cache.ts';
import { SessionQueue } from './session-queue.ts';
import { Sessions } from './sessions.ts';
import type { TurnObserver, TurnReply, TurnRequest } from './turn.ts';
import { type GatePass, TurnGate } from './turn-gate.ts';
import { TurnMetrics } from './turn-metrics.ts';
import { forwardedReply, generatedReply, replayedReply } from './turn-reply.ts';
import { WriteConcerns } from './write-concerns.ts';

export interface ContextManagerParts {
  readonly llm: LlmService;
  readonly template: ChatTemplate;
  readonly store: ContextStore;
  readonly environment: Environment;
  readonly options: ContextManagerOptions;
}

interface AnsweredTurn {
  readonly answered: Turn;
  readonly reply: TurnReply;
}

/**
 * The middleware between client and LLM Service (paper §3.1). `takeTurn` is one turn in the order of DESIGN §3:
 * queue, replay check, turn gate, build, overflow, generate, commit; then, if asked for, a peer has it too.
 */
export class ContextManager {
  readonly keygroup: KeygroupId;
  readonly sessions: Sessions;
  readonly #parts: ContextManagerParts;
  readonly #modes: Readonly<Record<ContextMode, Mode>>;
  readonly #queue: SessionQueue;
  readonly #cache: SessionCache;
  readonly #gate: TurnGate;
  readonly #running: RunningTurns;
  readonly #metrics: TurnMetrics;
  readonly #graceMs: number;
  readonly #writer: RecordWriter;
  readonly #writeConcerns: WriteConcerns;
  readonly #forks: Forks;
  readonly #endWatch: () => void;

  constructor(parts: ContextManagerParts) {
    const { llm, template, store, environment, options } = parts;
    const { clock } = environment;
    this.#parts = parts;
    this.keygroup = keygroupOf(llm.description.identity);
    this.#modes = {
      tokenized: tokenizedMode(llm, template),
      raw: rawMode(llm, template),
      'client-side': clientSideMode(llm),
    };
    this.#queue = new SessionQueue(options.sessionQueueMax);
    const graceMs = isWatchable(store) ? EXPIRY_GRACE_MS : 0;
    this.#cache = new SessionCache(store, clock, { bytesMax: options.contextCacheBytes, graceMs });
    this.#running = new RunningTurns(clock, options);
    this.#metrics = new TurnMetrics(
      environment.metrics,
      {
        inFlight: () => this.#running.size,
        busySessions: () => this.#queue.busySessions,
        cacheBytes: () => this.#cache.sizeBytes,
      },
      () => clock.monotonic(),
    );
    const arrivals = isWatchable(store) ? new Arrivals(clock) : undefined;
    this.#endWatch = isWatchable(store)
      ? store.watch((sealed) => {
          this.#cache.add(sealed);
          arrivals?.announce(sessionKeyText(sessionKeyOf(sealed.record)));
        })
      : () => {};
    const replica = new ReplicaWait({ clock, cache: this.#cache, policy: arrivals && this.#gatePolicy(arrivals) });
    this.#graceMs = graceMs;
    this.#gate = new TurnGate(replica);
    this.#writer = new RecordWriter({ store, cache: this.#cache });
    this.#writeConcerns = new WriteConcerns(store, options, environment);
    const shared = { keygroup: this.keygroup, cache: this.#cache, running: this.#running, writer: this.#writer };
    this.sessions = new Sessions({ ...parts, ...shared, modes: this.#modes, graceMs });
    this.#forks = new Forks({ ...parts, ...shared, queue: this.#queue, replica });
  }

  /**
   * Answers one turn. When it resolves with a stored mode, the turn record is durable on this node. Throws
   * DiscedgeError; the same request may then be sent again. Nothing was stored, unless it is the store that failed: should
   * it have kept the record all the same, the request sent again is a replay.
   */
  async takeTurn(request: TurnRequest, observer: TurnObserver): Promise<TurnReply> {
    return this.#metrics.observe(async () => {
      const mode = request.mode ?? this.#parts.options.defaultMode;
      if (mode === 'client-side') {
        return this.#running.run(undefined, observer.gone, (turn) => this.#forward(request, observer, turn));
      }
      this.#writeConcerns.require(request.writeConcern);
      const key = this.#keyOf(request);
      const name = sessionKeyText(key);
      return this.#running.run(name, observer.gone, async (turn) => {
        const { answered, reply } = await this.#queue.run(name, turn.signal, () =>
          this.#takeQueuedTurn({ key, request, observer, turn, mode }),
        );
        const { writeConcern: asked, replicatedWaitMs: waitMs } = request;
        const patience = turn.startSharing();
        return { ...reply, ...(await this.#writeConcerns.reach(answered, { asked, waitMs, patience })) };
      });
    });
  }

  /** A new session that begins as another one does; see {@link Forks.fork}. */
  fork(request: ForkRequest, gone: AbortSignal): Promise<Fork> {
    return this.#forks.fork(request, gone);
  }

  /** Waiting ones included. */
  get turnsInFlight(): number {
    return this.#running.size;
  }

  /** Whether new turns are refused because the node is stopping. */
  get closing(): boolean {
    return this.#running.closing;
  }

  /** Refuses new turns, lets running ones finish within `graceMs`, then stops them. */
  async close(graceMs: number): Promise<void> {
    await this.#running.drain(graceMs);
    this.#endWatch();
  }

  async #takeQueuedTurn({
    key,
    request,
    observer,
    turn,
    mode: openingMode,
  }: {
    key: SessionKey;
    request: TurnRequest;
    observer: TurnObserver;
    turn: RunningTurn;
    mode: StoredMode;
  }): Promise<AnsweredTurn> {
    const pass = await this.#gate.pass(key, request, turn.signal);
    this.#metrics.gatePassed(pass);
    if (pass.answered !== undefined) return this.#replay(pass.answered, pass, observer);

    const { session, base } = pass;
    const mode = this.#modes[modeOf(request, base) ?? openingMode];
    refuseLateSystem(request, base);
    turn.startGenerating();
    const prompt = await mode.build({ request, place: { session, base }, replyTokens: this.#replyReserve(request) });
    const promptTokens = prompt.ids.length;
    const end = await this.#generate(prompt.ids, sessionKeyText(key), request, observer, turn);
    const payload = await prompt.payload(end);
    if (payload === undefined) throw new TypeError(`mode ${mode.name} keeps nothing to commit`);
    turn.startCommitting();
    const { environment, options } = this.#parts;
    const writtenAtMs = environment.clock.now();
    const record = newTurnRecord(request, pass, { prompt, end, payload, writtenAtMs, graceMs: this.#graceMs }, options);
    const sealed = await this.#writer.write(record);
    prompt.kept(sealed);
    const answered = { record, hash: sealed.hash };
    return { answered, reply: generatedReply(answered, end, promptTokens, pass) };
  }

  /** `client-side`: build and generate; no session, so nothing to queue for, to wait for or to commit. */
  async #forward(request: TurnRequest, observer: TurnObserver, turn: RunningTurn): Promise<TurnReply> {
    const mode = this.#modes['client-side'];
    const { ids } = await mode.build({ request, place: undefined, replyTokens: 1 });
    const end = await this.#generate(ids, undefined, request, observer, turn);
    return forwardedReply(request, end, ids.length);
  }

  async #replay(answered: Turn, pass: GatePass, observer: TurnObserver): Promise<AnsweredTurn> {
    const text = await this.#modes[answered.record.payload.mode].readReply(answered);
    observer.part(text.reply, text.replyIds, undefined);
    return { answered, reply: replayedReply(answered, text, pass) };
  }

  async #generate(
    prompt: Prompt['ids'],
    affinity: string | undefined,
    request: TurnRequest,
    observer: TurnObserver,
    { signal }: RunningTurn,
  ): Promise<GenerationEnd> {
    const { llm } = this.#parts;
    const roomTokens = llm.description.contextTokens - prompt.length;
    const maxTokens = Math.max(1, Math.min(this.#maxTokens(request), roomTokens));
    const end = await generateReply(llm, { prompt, maxTokens, affinity, request, observer, signal });
    this.#metrics.generated(end.usage);
    return end;
  }

  #gatePolicy(arrivals: Arrivals): LookAgainPolicy {
    const { environment, options } = this.#parts;
    const { turnGate, turnGateRetriesMax: retriesMax, turnGateBackoffMs: backoffMs } = options;
    if (turnGate === 'event') return eventPolicy(arrivals);
    return fixedPolicy({ clock: environment.clock, cache: this.#cache }, { retriesMax, backoffMs });
  }

  #keyOf({ userId, sessionId, turn, contextId }: TurnRequest): SessionKey {
    if (sessionId === undefined && ((turn ?? 1) > 1 || contextId !== undefined)) {
      throw new DiscedgeError('invalid_request', 'session_id is needed from turn 2 on', { param: 'session_id' });
    }
    return {
      keygroup: this.keygroup,
      userId,
      sessionId: sessionId ?? (this.#parts.environment.random.uuid() as SessionId),
    };
  }

  /** The reply's length in ids: what was asked for, within the node's limit. */
  #maxTokens({ maxTokens }: TurnRequest): number {
    const { replyTokensDefault, replyTokensMax } = this.#parts.options;
    return Math.min(maxTokens ?? replyTokensDefault, replyTokensMax);
  }

  #replyReserve(request: TurnRequest): number {
    return replyReserve(this.#parts.llm.description.contextTokens, this.#maxTokens(request));
  }
}

/** A session keeps the mode it was opened in; `undefined` where the request opens it. */
function modeOf({ mode }: TurnRequest, base: Turn | undefined): StoredMode | undefined {
  const sessionMode = base?.record.payload.mode;
  if (sessionMode === undefined || mode === undefined || mode === sessionMode) return sessionMode;
  throw new DiscedgeError('mode_mismatch', `this session was opened in mode "${sessionMode}" and keeps it`, {
    param: 'mode',
  });
}

function refuseLateSystem({ messages }: TurnRequest, base: Turn | undefined): void {
  if (base === undefined || messages.every(({ role }) => role !== 'system')) return;
  throw new DiscedgeError('invalid_request', 'a system message can only open a session: send it with turn 1', {
    param: 'system',
  });
}
