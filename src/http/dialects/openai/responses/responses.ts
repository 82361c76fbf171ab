import {
  addedMessages,
  type ForwardRequest,
  type Reply,
  type TurnObserver,
  type TurnReply,
  type TurnRequest,
} from '../../../../context-manager/turn/turn.ts';
import { DiscedgeError, isMissing } from '../../../../domain/errors.ts';
import { answerIdOf } from '../../../../domain/record/answer-id.ts';
import { NO_USAGE } from '../../../../llm-service/llm-service.ts';
import type { AppParts } from '../../../app-parts.ts';
import { invalid, withParam } from '../../../requests/parameters.ts';
import { outputItems } from './item-views.ts';
import { ResponsePlanner } from './plan-response.ts';
import type { PlannedResponse } from './planned-response.ts';
import { conversationNotFound, previousNotFound } from './refusals.ts';
import { responseNoteOf } from './response-note.ts';
import { ResponseIds } from './response-ref.ts';
import type { ResponseState } from './response-view.ts';
import { RunningResponse, RunningResponses } from './running-responses.ts';
import { StoredResponses } from './stored-responses.ts';
import { ToldResponses } from './told-responses.ts';

/** Has planned responses answered, as turns or without keeping them, and keeps those in sight that are under way. */
export class Responses {
  readonly ids: ResponseIds;
  readonly stored: StoredResponses;
  readonly planner: ResponsePlanner;
  readonly running = new RunningResponses();
  readonly told: ToldResponses;
  readonly #parts: AppParts;

  constructor(parts: AppParts) {
    this.#parts = parts;
    this.ids = new ResponseIds(parts.ids);
    this.stored = new StoredResponses(parts, this.ids);
    this.planner = new ResponsePlanner(parts, this);
    this.told = new ToldResponses(this.running, parts.node.records.sharing?.answers);
  }

  /** Has it answered. Throws what the turn throws, in this API's words. */
  async run(planned: PlannedResponse, observer: TurnObserver): Promise<ResponseState> {
    const { forward, request } = planned;
    if (forward !== undefined) return this.#forward(planned, forward, observer);
    if (request === undefined) throw new TypeError('a response is a turn or is forwarded');
    const { answerId } = planned.ref;
    const running = new RunningResponse(planned.state, { background: planned.background });
    this.running.add(answerId, running);
    const stop = this.#stopOf(planned, running);
    try {
      const reply = await planned.model.contextManager.takeTurn(request, {
        gone: observer.gone,
        account: observer.account,
        stop: stop.signal,
        begun: (place) => {
          stop.begun();
          if (place.answered !== undefined) this.#becomes(planned, place.answered);
          observer.begun?.(place);
        },
        part: (piece) => {
          running.generates();
          for (const delta of piece.parts ?? []) running.add(delta);
          observer.part(piece);
        },
      });
      const state = this.#answered(planned, reply);
      this.running.stored(answerId, state);
      return state;
    } catch (error) {
      this.running.failed(answerId, error);
      throw this.inWords(request, error);
    } finally {
      stop.begun();
    }
  }

  /**
   * Has what it says evaluated and kept, and not answered: what goes on from it finds it read. Nothing is kept where it is not
   * to be; then it is evaluated alone.
   */
  async prepare(planned: PlannedResponse, observer: TurnObserver): Promise<ResponseState> {
    const { forward, request, model, ref, state } = planned;
    const { contextManager } = model;
    if (forward !== undefined) {
      const reply = await contextManager.forward({ ...forward, maxTokens: 0 }, observer);
      return { ...state, status: 'completed', usage: usageOf(reply) };
    }
    if (request === undefined) throw new TypeError('a response is a turn or is forwarded');
    const { userId, sessionId, place, maxWaitMs, extensions, overflow, maxTokens } = request;
    const cost = { promptTokens: 0, usage: NO_USAGE };
    const noted = typeof extensions === 'function' ? extensions(cost) : extensions;
    const messages = addedMessages(request);
    try {
      const { account } = observer;
      const readBy = { overflow, maxTokens };
      const items = { userId, sessionId, place, messages, ttlSeconds: undefined, maxWaitMs, account, readBy };
      await contextManager.add({ ...items, ...(noted && { extensions: noted }) }, observer.gone);
      const next = { ...request, place: { afterAnswer: ref.answerId, repeat: 'new' as const }, messages: [] };
      const reply = await contextManager.evaluate(next, observer);
      return { ...state, status: 'completed', usage: usageOf(reply), read: reply };
    } catch (error) {
      throw this.inWords(request, error);
    }
  }

  /** What a turn throws, as a client of responses knows it. */
  inWords({ place }: Pick<TurnRequest, 'place'>, error: unknown): unknown {
    if (isMissing(error) && 'afterAnswer' in place) return previousNotFound();
    if (isMissing(error) && 'tip' in place) return conversationNotFound();
    if (!(error instanceof DiscedgeError)) return error;
    if (error.code === 'invalid_request' && error.param === 'turn' && 'opens' in place)
      return invalid('idempotency-key', 'another request was sent with this idempotency-key');
    return withParam(error, FIELD_OF);
  }

  #answered(planned: PlannedResponse, reply: TurnReply): ResponseState {
    const { model, asked, ref } = planned;
    const state = this.stored.stateOf({ model, ref, turn: reply.stored, parts: reply.parts, preamble: asked.preamble });
    if (state === undefined) throw new TypeError('a response was stored without its note');
    return { ...state, read: reply };
  }

  /** It was answered before: it is that response. */
  #becomes(planned: PlannedResponse, answered: TurnReply['stored']): void {
    const answerId = answerIdOf(answered.record);
    const note = responseNoteOf(answered.record);
    if (answerId === undefined || note === undefined) return;
    planned.ref = { ...planned.ref, answerId };
    planned.state = { ...planned.state, id: this.ids.response(planned.ref), createdAt: note.createdAt };
  }

  async #forward(planned: PlannedResponse, forward: ForwardRequest, observer: TurnObserver): Promise<ResponseState> {
    const { model, state, asked, items: ids } = planned;
    const reply = await model.contextManager.forward(forward, observer).catch((error) => {
      throw error instanceof DiscedgeError ? withParam(error, FIELD_OF) : error;
    });
    const isCut = reply.stop.kind === 'limit';
    return {
      ...state,
      completedAt: this.#nowSeconds(),
      status: isCut ? 'incomplete' : 'completed',
      output: outputItems(reply.parts, { ids, isCut, summarized: asked.summarized }),
      usage: {
        inputTokens: reply.promptTokens,
        cachedTokens: reply.usage.cachedTokens,
        outputTokens: reply.usage.predictedTokens,
        reasoningTokens: reply.reasoningTokens,
      },
    };
  }

  #nowSeconds(): number {
    return Math.floor(this.#parts.node.environment.clock.now() / 1000);
  }

  /** Ends the wait behind another response on the same conversation, which clients would not end. */
  #stopOf({ state }: PlannedResponse, running: RunningResponse): { signal: AbortSignal; begun: () => void } {
    if (state.conversationId === undefined) return { signal: running.stop, begun: () => {} };
    const { clock } = this.#parts.node.environment;
    const locked = new AbortController();
    const cancel = clock.after(this.#parts.options.maxWaitMsLimit, () =>
      locked.abort(new DiscedgeError('conversation_locked', 'another response on this conversation is under way')),
    );
    return { signal: AbortSignal.any([running.stop, locked.signal]), begun: cancel };
  }
}

/** What a turn calls its parts, and what the body of a response does. */
const FIELD_OF: Readonly<Record<string, string>> = { messages: 'input', format: 'text.format' };

function usageOf({ promptTokens, usage }: Pick<Reply, 'promptTokens' | 'usage'>): ResponseState['usage'] {
  return { inputTokens: promptTokens, cachedTokens: usage.cachedTokens, outputTokens: 0, reasoningTokens: 0 };
}
