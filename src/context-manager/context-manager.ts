import { type ContextStore, isWatchable } from '../context-store/context-store.ts';
import { replyReserve } from '../domain/context-window.ts';
import { DiscedgeError } from '../domain/errors.ts';
import {
  type ContextId,
  type Incarnation,
  type KeygroupId,
  type NodeId,
  type RequestDigest,
  type SessionId,
  type SessionKey,
  sessionKeyText,
  type TurnNumber,
} from '../domain/identifiers.ts';
import { keygroupOf } from '../domain/model-identity.ts';
import { sealRecord } from '../domain/record-codec.ts';
import type { Turn } from '../domain/session-history.ts';
import { type ContextMode, sessionKeyOf } from '../domain/turn-record.ts';
import type { Environment } from '../environment/environment.ts';
import type { ChatTemplate } from '../llm-service/chat-template.ts';
import type { GenerationEnd, LlmService } from '../llm-service/llm-service.ts';
import { Arrivals } from './arrivals.ts';
import type { Mode, Prompt } from './mode.ts';
import { clientSideMode } from './mode-client-side.ts';
import { rawMode } from './mode-raw.ts';
import { tokenizedMode } from './mode-tokenized.ts';
import { requestDigest } from './request-digest.ts';
import { RunningTurns } from './running-turns.ts';
import { type CachedSession, SessionCache } from './session-cache.ts';
import { SessionQueue } from './session-queue.ts';
import { Sessions } from './sessions.ts';
import type { TurnObserver, TurnReply, TurnRequest } from './turn.ts';
import { type GatePass, TurnGate } from './turn-gate.ts';
import { TurnMetrics } from './turn-metrics.ts';

/** The node's limits and defaults, all bounded; docs/configuration.md says why each is what it is. */
export interface ContextManagerOptions {
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
  readonly defaultMode: ContextMode;
  readonly ttlSeconds: number;
  readonly ttlSecondsMax: number;
  readonly sessionQueueMax: number;
  readonly turnsInFlightMax: number;
  readonly contextCacheBytes: number;
  readonly replyTokensDefault: number;
  readonly replyTokensMax: number;
  readonly finishAbandonedMs: number;
}

export interface ContextManagerParts {
  readonly llm: LlmService;
  readonly template: ChatTemplate;
  readonly store: ContextStore;
  readonly environment: Environment;
  readonly options: ContextManagerOptions;
}

/** Where a stored turn goes on from, once queue, replay check and gate are passed. */
interface Place {
  readonly session: CachedSession;
  readonly base: Turn | undefined;
  readonly digest: RequestDigest;
  readonly pass: GatePass;
}

/**
 * The middleware between client and LLM Service (paper §3.1). `takeTurn` is one turn in the order of DESIGN §3:
 * queue, replay check, turn gate, build, overflow, generate, commit.
 */
export class ContextManager {
  readonly keygroup: KeygroupId;
  readonly sessions: Sessions;
  readonly #parts: ContextManagerParts;
  readonly #modes: Readonly<Record<ContextMode, Mode>>;
  readonly #queue: SessionQueue;
  readonly #cache: SessionCache;
  readonly #arrivals: Arrivals | undefined;
  readonly #running: RunningTurns;
  readonly #metrics: TurnMetrics;
  readonly #endWatch: () => void;

  constructor(parts: ContextManagerParts) {
    const { llm, template, store, environment, options } = parts;
    this.#parts = parts;
    this.keygroup = keygroupOf(llm.description.identity);
    this.#modes = {
      tokenized: tokenizedMode(llm, template),
      raw: rawMode(llm, template),
      'client-side': clientSideMode(llm),
    };
    this.#queue = new SessionQueue(options.sessionQueueMax);
    this.#cache = new SessionCache(store, options.contextCacheBytes);
    this.#running = new RunningTurns(environment.clock, options);
    this.#metrics = new TurnMetrics(
      environment.metrics,
      {
        inFlight: () => this.#running.size,
        busySessions: () => this.#queue.busySessions,
        cacheBytes: () => this.#cache.sizeBytes,
      },
      () => environment.clock.monotonic(),
    );
    this.#arrivals = isWatchable(store) ? new Arrivals(environment.clock) : undefined;
    this.#endWatch = isWatchable(store)
      ? store.watch((sealed) => {
          this.#cache.add(sealed);
          this.#arrivals?.announce(sessionKeyText(sessionKeyOf(sealed.record)));
        })
      : () => {};
    this.sessions = new Sessions({
      ...parts,
      keygroup: this.keygroup,
      modes: this.#modes,
      cache: this.#cache,
      running: this.#running,
    });
  }

  /**
   * Answers one turn. When it resolves with a stored mode, the turn record is durable on this node. Throws
   * DiscedgeError; a turn that throws has stored nothing, so the same request may be sent again.
   */
  async takeTurn(request: TurnRequest, observer: TurnObserver): Promise<TurnReply> {
    return this.#metrics.observe(() =>
      this.#running.admit(async () => {
        if ((request.mode ?? this.#parts.options.defaultMode) === 'client-side')
          return this.#forward(request, observer);
        const key = this.#keyOf(request);
        return this.#queue.run(sessionKeyText(key), observer.gone, () => this.#takeQueuedTurn(request, key, observer));
      }),
    );
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

  async #takeQueuedTurn(request: TurnRequest, key: SessionKey, observer: TurnObserver): Promise<TurnReply> {
    const turn = await this.#claimedTurn(request, key);
    const digest = requestDigest(request, turn);
    const gate = new TurnGate({
      clock: this.#parts.environment.clock,
      arrivals: this.#arrivals,
      load: () => this.#load(key),
    });
    const pass = await gate.pass({
      claim: { turn, contextId: request.contextId, digest },
      sessionName: sessionKeyText(key),
      consistency: request.consistency,
      maxWaitMs: request.maxWaitMs,
      signal: observer.gone,
    });
    this.#metrics.gatePassed(pass);
    if (pass.replay !== undefined) return this.#replay(pass.replay, pass, observer);

    const mode = this.#modeOf(request, pass.base);
    if (pass.base !== undefined && request.messages.some(({ role }) => role === 'system')) {
      throw new DiscedgeError('invalid_request', 'a system message can only open a session: send it with turn 1', {
        param: 'system',
      });
    }
    return this.#running.track(sessionKeyText(key), observer.gone, async (signal) => {
      const prompt = await mode.build({
        request,
        session: pass.session,
        base: pass.base,
        overflow: request.overflow,
        replyTokens: this.#replyReserve(request),
      });
      try {
        const end = await this.#generate(prompt, request, sessionKeyText(key), observer, signal);
        signal.throwIfAborted();
        const place: Place = { session: pass.session, base: pass.base, digest, pass };
        return await this.#commit({ request, mode, prompt, end, place });
      } catch (error) {
        prompt.discarded();
        throw error;
      }
    });
  }

  /** `client-side`: the same steps without a session. */
  #forward(request: TurnRequest, observer: TurnObserver): Promise<TurnReply> {
    const mode = this.#modes['client-side'];
    return this.#running.track(undefined, observer.gone, async (signal) => {
      const prompt = await mode.build({
        request,
        session: undefined,
        base: undefined,
        overflow: request.overflow,
        replyTokens: this.#replyReserve(request),
      });
      const end = await this.#generate(prompt, request, undefined, observer, signal);
      return {
        ...replyOf(end, prompt),
        userId: request.userId,
        sessionId: request.sessionId,
        mode: mode.name,
        turn: request.turn,
        contextId: undefined,
        basedOnTurn: undefined,
        replayed: false,
        waitedMs: 0,
        retries: 0,
      };
    });
  }

  async #generate(
    prompt: Prompt,
    request: TurnRequest,
    affinity: string | undefined,
    observer: TurnObserver,
    signal: AbortSignal,
  ): Promise<GenerationEnd> {
    const { llm, options } = this.#parts;
    const roomTokens = llm.description.contextTokens - prompt.ids.length;
    const maxTokens = Math.max(
      1,
      Math.min(request.maxTokens ?? options.replyTokensDefault, options.replyTokensMax, roomTokens),
    );
    const { sampling, stop, stream } = request;
    for await (const event of llm.generate(
      { prompt: prompt.ids, maxTokens, stop, sampling, affinity, stream },
      signal,
    )) {
      if (event.kind === 'end') {
        this.#metrics.generated(event.usage);
        return event;
      }
      if (!observer.gone.aborted) observer.part(event.text, event.ids, event.fields);
    }
    throw new DiscedgeError('llm_bad_reply', 'the LLM Service ended its reply without saying how');
  }

  /** The record is durable before the reply is complete: acknowledged means stored (DESIGN §3.8). */
  async #commit({
    request,
    mode,
    prompt,
    end,
    place,
  }: {
    request: TurnRequest;
    mode: Mode;
    prompt: Prompt;
    end: GenerationEnd;
    place: Place;
  }): Promise<TurnReply> {
    const { store, environment, options } = this.#parts;
    const { session, base, pass } = place;
    const payload = await prompt.store(end);
    if (payload === undefined) throw new TypeError(`mode ${mode.name} stores nothing`);
    const turn = ((base?.record.turn ?? 0) + 1) as TurnNumber;
    const writtenAtMs = environment.clock.now();
    const sealed = sealRecord({
      kind: 'turn',
      ...session.key,
      origin: options.nodeId,
      incarnation: options.incarnation,
      writtenAtMs,
      expiresAtMs: writtenAtMs + this.#ttlMs(request, base),
      turn,
      parent: base?.hash,
      requestDigest: place.digest,
      contextStart: prompt.contextStart,
      stop: end.stop,
      sampling: {
        temperature: numberOr(request.sampling.temperature),
        seed: numberOr(request.sampling.seed),
        maxTokens: request.maxTokens,
      },
      payload,
    });
    await store.append(sealed);
    prompt.kept(sealed);
    this.#cache.commit(session, sealed);
    return {
      ...replyOf(end, prompt),
      userId: session.key.userId,
      sessionId: session.key.sessionId,
      mode: mode.name,
      turn,
      contextId: sealed.hash,
      basedOnTurn: turn - 1,
      replayed: false,
      waitedMs: pass.waitedMs,
      retries: pass.retries,
    };
  }

  async #replay(turn: Turn, pass: GatePass, observer: TurnObserver): Promise<TurnReply> {
    const { record, hash } = turn;
    const { reply, replyIds, exact } = await this.#modes[record.payload.mode].read(turn);
    observer.part(reply, replyIds, undefined);
    return {
      userId: record.userId,
      sessionId: record.sessionId,
      mode: record.payload.mode,
      turn: record.turn,
      contextId: hash,
      basedOnTurn: record.turn - 1,
      replayed: true,
      waitedMs: pass.waitedMs,
      retries: pass.retries,
      droppedTurns: record.contextStart - 1,
      text: reply,
      replyIds,
      exact,
      promptTokens: 0,
      stop: record.stop,
      usage: { cachedTokens: 0, evaluatedTokens: 0, promptMs: 0, predictedTokens: replyIds.length, predictedMs: 0 },
      fields: {},
    };
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

  /** A request that names its context needs no turn number; one that names neither opens a session. */
  async #claimedTurn(request: TurnRequest, key: SessionKey): Promise<TurnNumber> {
    if (request.turn !== undefined) return request.turn;
    const { history } = await this.#load(key);
    if (request.contextId === undefined) {
      const opening = 1 as TurnNumber;
      if (history.size === 0 || history.answering(requestDigest(request, opening)).length > 0) return opening;
      throw new DiscedgeError(
        'invalid_request',
        'turn is needed from turn 2 on: it is how the node knows that it holds all you have seen',
        { param: 'turn' },
      );
    }
    const base = history.get(request.contextId as ContextId);
    if (base !== undefined) return (base.record.turn + 1) as TurnNumber;
    throw new DiscedgeError(
      'invalid_request',
      'this node does not know the context_id; send turn with it, so that the node can wait for it',
      { param: 'turn' },
    );
  }

  /** The session as it is now; one past its expiry is gone, whether or not it has been swept. */
  async #load(key: SessionKey): Promise<CachedSession> {
    const { store, environment } = this.#parts;
    const session = await this.#cache.load(key);
    const nowMs = environment.clock.now();
    if (session.history.size === 0 || session.history.expiresAtMs > nowMs) return session;
    this.#cache.forget(key);
    let removed: number;
    do removed = await store.expire(nowMs);
    while (removed > 0);
    return this.#cache.load(key);
  }

  #modeOf(request: TurnRequest, base: Turn | undefined): Mode {
    const sessionMode = base?.record.payload.mode;
    const mode = request.mode ?? sessionMode ?? this.#parts.options.defaultMode;
    if (sessionMode !== undefined && mode !== sessionMode) {
      throw new DiscedgeError('mode_mismatch', `this session was opened in mode "${sessionMode}" and keeps it`, {
        param: 'mode',
      });
    }
    return this.#modes[mode];
  }

  #replyReserve({ maxTokens }: TurnRequest): number {
    const { llm, options } = this.#parts;
    return replyReserve(
      llm.description.contextTokens,
      Math.min(maxTokens ?? options.replyTokensDefault, options.replyTokensMax),
    );
  }

  /** A session keeps the time to live it was given last. */
  #ttlMs({ ttlSeconds }: TurnRequest, base: Turn | undefined): number {
    const { options } = this.#parts;
    if (ttlSeconds !== undefined) return Math.min(ttlSeconds, options.ttlSecondsMax) * 1000;
    return base === undefined ? options.ttlSeconds * 1000 : base.record.expiresAtMs - base.record.writtenAtMs;
  }
}

function replyOf(end: GenerationEnd, prompt: Prompt) {
  return {
    droppedTurns: prompt.contextStart - 1,
    text: end.text,
    replyIds: end.ids,
    exact: end.exact,
    promptTokens: end.usage.cachedTokens + end.usage.evaluatedTokens,
    stop: end.stop,
    usage: end.usage,
    fields: end.fields ?? {},
  };
}

function numberOr(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}
