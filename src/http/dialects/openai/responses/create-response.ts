import type { IncomingHttpHeaders } from 'node:http';
import type { ServedModel } from '../../../../context-manager/model-directory.ts';
import {
  addedMessages,
  type ForwardRequest,
  openedWith,
  type Reply,
  type TurnObserver,
  type TurnReply,
  type TurnRequest,
} from '../../../../context-manager/turn/turn.ts';
import { DiscedgeError } from '../../../../domain/errors.ts';
import type { SessionId, UserId } from '../../../../domain/identifiers.ts';
import { ANSWER_ID_BYTES, answerIdFrom, answerIdOf } from '../../../../domain/record/answer-id.ts';
import type { Message } from '../../../../domain/record/turn-record.ts';
import type { TipRepeat } from '../../../../domain/turn-decision.ts';
import { NO_USAGE } from '../../../../llm-service/llm-service.ts';
import type { AppParts } from '../../../app-parts.ts';
import { ownerOf } from '../../../owner.ts';
import { invalid, withParam } from '../../../parameters.ts';
import { sentOf } from '../../../sent-before.ts';
import type { CreateBody } from './create-body.ts';
import { type Asked, askedOf } from './create-request.ts';
import { type ItemReferences, messagesOf } from './input-items.ts';
import { ItemIds, outputItems } from './item-views.ts';
import { keyedSession, RecentOpenings } from './recent-openings.ts';
import { encodeNote, responseExtensions, responseNoteOf } from './response-note.ts';
import { ResponseIds, type ResponseRef } from './response-ref.ts';
import { type ResponseState, SHOWN_FIELDS } from './response-view.ts';
import { RunningResponse, RunningResponses } from './running-responses.ts';
import { StoredResponses } from './stored-responses.ts';

/** What a response is to follow. */
interface Follows {
  readonly model: ServedModel;
  readonly userId: UserId;
  /** `undefined` opens a session. */
  readonly previous?: ResponseRef;
  readonly conversation?: SessionId;
}

/** A response that is to be made. */
export class PlannedResponse {
  readonly model: ServedModel;
  readonly asked: Asked;
  /** Whose answer it is; of a request that is repeated that of the first one, once it is known. */
  ref: ResponseRef;
  state: ResponseState;
  readonly request: TurnRequest | undefined;
  readonly forward: ForwardRequest | undefined;
  readonly background: boolean;
  readonly #ids: ResponseIds;

  constructor(parts: {
    model: ServedModel;
    asked: Asked;
    ref: ResponseRef;
    state: ResponseState;
    request?: TurnRequest;
    forward?: ForwardRequest;
    background: boolean;
    ids: ResponseIds;
  }) {
    this.model = parts.model;
    this.asked = parts.asked;
    this.ref = parts.ref;
    this.state = parts.state;
    this.request = parts.request;
    this.forward = parts.forward;
    this.background = parts.background;
    this.#ids = parts.ids;
  }

  get items(): ItemIds {
    return new ItemIds(this.#ids, this.ref);
  }
}

/** Makes responses: of a body what it asks for, of that a turn, and keeps those in sight that are under way. */
export class Responses {
  readonly ids: ResponseIds;
  readonly stored: StoredResponses;
  readonly running = new RunningResponses();
  readonly #parts: AppParts;
  readonly #openings = new RecentOpenings();

  constructor(parts: AppParts) {
    this.#parts = parts;
    this.ids = new ResponseIds(parts.ids);
    this.stored = new StoredResponses(parts, this.ids);
  }

  /** Throws what a body cannot mean. Nothing has been begun when it resolves. */
  async plan(body: CreateBody, headers: IncomingHttpHeaders, signal: AbortSignal): Promise<PlannedResponse> {
    const { options, node } = this.#parts;
    const asked = askedOf(body);
    const follows = await this.#follows(body, signal);
    const { model, userId, previous } = follows;
    const messages = await this.#messages(body.input, userId, signal);
    if (messages.length === 0) throw invalid('input', 'input is missing: send text, or items');
    const isKept = body.store ?? model.contextManager.defaultMode !== 'client-side';
    const background = body.background === true;
    if (background && !isKept)
      throw invalid('background', 'background needs store: a response that is not kept cannot be asked for');
    const repeat = sentOf(headers);
    const answerId = answerIdFrom(node.environment.random.bytes(ANSWER_ID_BYTES));
    const createdAt = this.#nowSeconds();
    const said = Object.fromEntries(
      SHOWN_FIELDS.flatMap((name) => (name in body ? [[name, body[name as keyof CreateBody]]] : [])),
    );
    const sessionId = this.#sessionOf(follows, body, repeat);
    const ref: ResponseRef = { keygroup: model.keygroup, userId, sessionId, answerId };
    const state: ResponseState = {
      id: this.ids.response(ref),
      model: model.name,
      createdAt,
      completedAt: undefined,
      status: background ? 'queued' : 'in_progress',
      said: { ...said, store: isKept },
      preamble: asked.preamble,
      previousResponseId: previous && this.ids.response(previous),
      conversationId: follows.conversation && this.ids.conversation(ref),
      output: [],
      usage: undefined,
      error: undefined,
    };
    const planned = { model, asked, ref, state, background, ids: this.ids };
    if (!isKept) {
      const before = previous && (await this.#before(previous, signal));
      const conversation = [...(before ?? []), ...messages];
      if (follows.conversation !== undefined)
        throw new DiscedgeError('unsupported_parameter', 'a conversation keeps its responses: leave store out', {
          param: 'store',
        });
      const forward: ForwardRequest = { ...asked.options, prompt: { conversation }, preamble: asked.preamble };
      return new PlannedResponse({ ...planned, forward });
    }
    const note = {
      createdAt,
      said,
      ...(previous && { after: previous.answerId }),
      ...(follows.conversation !== undefined && { inConversation: true as const }),
    };
    // What is too much for a record is said before a model has worked on it.
    encodeNote(note);
    const request: TurnRequest = {
      ...asked.options,
      userId,
      sessionId,
      ...placedAt(follows, repeat, messages),
      mode: undefined,
      preamble: asked.preamble,
      extensions: ({ promptTokens, usage }) =>
        responseExtensions(answerId, { ...note, inputTokens: promptTokens, cachedTokens: usage.cachedTokens }),
      consistency: 'strong',
      maxWaitMs: options.maxWaitMs,
      writeConcern: options.defaultWriteConcern,
      replicatedWaitMs: options.replicatedWaitMs,
      ttlSeconds: undefined,
      overflow: asked.overflow ?? options.defaultOverflow,
      reasoning: 'as-template',
    };
    return new PlannedResponse({ ...planned, request });
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
    const { userId, sessionId, place, maxWaitMs, extensions } = request;
    const cost = { promptTokens: 0, usage: NO_USAGE };
    const noted = typeof extensions === 'function' ? extensions(cost) : extensions;
    const messages = addedMessages(request);
    try {
      const items = { userId, sessionId, place, messages, ttlSeconds: undefined, maxWaitMs };
      await contextManager.add({ ...items, ...(noted && { extensions: noted }) }, observer.gone);
      const next = { ...request, place: { afterAnswer: ref.answerId, repeat: 'new' as const }, messages: [] };
      const reply = await contextManager.evaluate(next, observer);
      return { ...state, status: 'completed', usage: usageOf(reply) };
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
    return state;
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
        reasoningTokens: 0,
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

  async #follows(body: CreateBody, signal: AbortSignal): Promise<Follows> {
    const { previous_response_id: previousId, conversation } = body;
    if (previousId !== undefined && conversation !== undefined)
      throw invalid('previous_response_id', 'send previous_response_id or conversation, not both');
    if (previousId !== undefined) {
      const previous = this.ids.openResponse(previousId);
      const model = previous && this.stored.modelOf(previous);
      if (previous === undefined || model === undefined || !isOwners(body.user, previous.userId))
        throw previousNotFound();
      this.#requireModel(body.model, model);
      return { model, userId: previous.userId, previous };
    }
    if (conversation !== undefined) {
      const key = this.ids.openConversation(typeof conversation === 'string' ? conversation : conversation.id);
      const model = key && this.stored.modelOf(key);
      if (key === undefined || model === undefined || !isOwners(body.user, key.userId)) throw conversationNotFound();
      this.#requireModel(body.model, model);
      const maxWaitMs = this.#parts.options.maxWaitMs;
      await model.contextManager.sessions.history(key.userId, key.sessionId, { maxWaitMs, signal }).catch((error) => {
        throw isMissing(error) ? conversationNotFound() : error;
      });
      return { model, userId: key.userId, conversation: key.sessionId };
    }
    return { model: this.#parts.models.find(body.model), userId: ownerOf(body.user) };
  }

  #requireModel(name: string | undefined, model: ServedModel): void {
    if (name === undefined || this.#parts.models.find(name) === model) return;
    throw invalid('model', `what is gone on from is of the model ${model.name}, and stays with it`);
  }

  async #messages(input: CreateBody['input'], owner: UserId, signal: AbortSignal): Promise<Message[]> {
    return messagesOf((input ?? []) as never, this.references(owner, signal));
  }

  /** To items of one user. No more may stand behind them than a body could have said itself. */
  references(owner: UserId, signal: AbortSignal): ItemReferences {
    return {
      resolve: (id) => this.#messagesOfItem(id, owner, signal),
      charactersMax: this.#parts.options.bodyBytesMax,
    };
  }

  /** The message that an item's id names; `undefined` for one that is not known here, is gone, or is somebody else's. */
  async #messagesOfItem(id: string, owner: UserId, signal: AbortSignal): Promise<readonly Message[] | undefined> {
    const item = this.ids.openItem(id);
    if (item?.userId !== owner) return undefined;
    return this.stored.messagesOf(item, signal).catch((error) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
  }

  async #before(previous: ResponseRef, signal: AbortSignal): Promise<Message[]> {
    const found = await this.stored.find(previous, signal).catch((error) => {
      throw isMissing(error) ? previousNotFound() : error;
    });
    return this.stored.conversationUpTo(found);
  }

  /** A request that opens a session and is repeated finds the session that it has opened. */
  #sessionOf({ previous, conversation, userId }: Follows, body: CreateBody, repeat: TipRepeat): SessionId {
    if (previous !== undefined) return previous.sessionId;
    if (conversation !== undefined) return conversation;
    return this.openedBy({ userId, request: body, repeat });
  }

  /** The session that a request opens, or has opened where it is repeated. */
  openedBy({ userId, request, repeat }: { userId: UserId; request: unknown; repeat: TipRepeat }): SessionId {
    if (typeof repeat === 'object') return keyedSession(userId, repeat.key);
    const opened = repeat === 'repeated' ? this.#openings.find(request) : undefined;
    const sessionId = opened ?? (this.#parts.node.environment.random.uuid() as SessionId);
    this.#openings.note(request, sessionId);
    return sessionId;
  }
}

/** What a turn calls its parts, and what the body of a response does. */
const FIELD_OF: Readonly<Record<string, string>> = { messages: 'input', format: 'text.format' };

function usageOf({ promptTokens, usage }: Pick<Reply, 'promptTokens' | 'usage'>): ResponseState['usage'] {
  return { inputTokens: promptTokens, cachedTokens: usage.cachedTokens, outputTokens: 0, reasoningTokens: 0 };
}

/** Where in its session it comes, and what of the messages is new there. */
function placedAt(
  { previous, conversation }: Follows,
  repeat: TipRepeat,
  messages: readonly Message[],
): Pick<TurnRequest, 'place' | 'messages'> {
  if (previous !== undefined) return { place: { afterAnswer: previous.answerId, repeat }, messages };
  if (conversation !== undefined) return { place: { tip: repeat }, messages };
  const { history, messages: said } = openedWith(messages);
  const opening = { opens: true as const, ...(repeat === 'new' && { drawn: true }) };
  return { place: history.length === 0 ? opening : { ...opening, history }, messages: said };
}

/** An id names its owner; who says to be another does not know it. */
const isOwners = (user: UserId | undefined, owner: UserId) => user === undefined || user === owner;

export function isMissing(error: unknown): boolean {
  return error instanceof DiscedgeError && (error.code === 'session_not_found' || error.code === 'session_deleted');
}

export function previousNotFound(): DiscedgeError {
  return new DiscedgeError('previous_response_not_found', 'there is no such response to go on after', {
    param: 'previous_response_id',
  });
}

export function conversationNotFound(): DiscedgeError {
  return new DiscedgeError('conversation_not_found', 'there is no such conversation', { param: 'conversation' });
}
