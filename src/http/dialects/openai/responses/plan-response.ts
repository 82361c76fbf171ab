import type { IncomingHttpHeaders } from 'node:http';
import type { ServedModel } from '../../../../context-manager/model-directory.ts';
import { type ForwardRequest, openedWith, type TurnRequest } from '../../../../context-manager/turn/turn.ts';
import { DiscedgeError, isMissing } from '../../../../domain/errors.ts';
import type { SessionId, UserId } from '../../../../domain/identifiers.ts';
import { type Principal, userOf } from '../../../../domain/principals/principal.ts';
import { ANSWER_ID_BYTES, answerIdFrom } from '../../../../domain/record/answer-id.ts';
import type { Message } from '../../../../domain/record/turn-record.ts';
import type { TipRepeat } from '../../../../domain/session/turn-decision.ts';
import type { AppParts } from '../../../app-parts.ts';
import { invalid } from '../../../requests/parameters.ts';
import { sentOf } from '../../../requests/sent-before.ts';
import { Compactions } from './compaction.ts';
import type { CreateBody } from './create-body.ts';
import { askedOf } from './create-request.ts';
import { type ItemSources, messagesOf } from './input-items.ts';
import { PlannedResponse } from './planned-response.ts';
import { keyedSession, RecentOpenings } from './recent-openings.ts';
import { conversationNotFound, previousNotFound } from './refusals.ts';
import { encodeNote, responseExtensions } from './response-note.ts';
import type { ResponseIds, ResponseRef } from './response-ref.ts';
import { type ResponseState, SHOWN_FIELDS } from './response-view.ts';
import type { StoredResponses } from './stored-responses.ts';

/** Of a request, beside its body. */
export interface Asking {
  readonly principal: Principal;
  /** What they say of the request's having been sent before. */
  readonly headers: IncomingHttpHeaders;
}

/** What a response is to follow. */
interface Follows {
  readonly model: ServedModel;
  readonly userId: UserId;
  /** `undefined` opens a session. */
  readonly previous?: ResponseRef;
  readonly conversation?: SessionId;
}

/** Whose items may be named, and who names them. */
export interface ItemOwner {
  readonly owner: UserId;
  readonly principal: Principal;
}

/** Plans responses: finds out what a body asks for, where in which session that comes, and what it reads. */
export class ResponsePlanner {
  readonly #parts: AppParts;
  readonly #ids: ResponseIds;
  readonly #stored: StoredResponses;
  readonly #compactions: Compactions;
  readonly #openings = new RecentOpenings();

  constructor(parts: AppParts, { ids, stored }: { ids: ResponseIds; stored: StoredResponses }) {
    this.#parts = parts;
    this.#compactions = new Compactions(parts.ids);
    this.#ids = ids;
    this.#stored = stored;
  }

  /** Throws what a body cannot mean. Nothing has been begun when it resolves. */
  async plan(body: CreateBody, { principal, headers }: Asking, signal: AbortSignal): Promise<PlannedResponse> {
    const { options, node } = this.#parts;
    const asked = askedOf(body);
    const follows = await this.#follows(body, principal, signal);
    const { model, userId, previous } = follows;
    const messages = await this.#messages(body.input, { owner: userId, principal }, signal);
    if (messages.length === 0) throw invalid('input', 'input is missing: send text, or items');
    const isKept = body.store ?? model.contextManager.defaultMode !== 'client-side';
    const background = body.background === true;
    if (background && !isKept)
      throw invalid('background', 'background needs store: a response that is not kept cannot be asked for');
    const repeat = sentOf(headers);
    const answerId = answerIdFrom(node.environment.random.bytes(ANSWER_ID_BYTES));
    const createdAt = Math.floor(node.environment.clock.now() / 1000);
    const said = Object.fromEntries(
      SHOWN_FIELDS.flatMap((name) => (name in body ? [[name, body[name as keyof CreateBody]]] : [])),
    );
    const sessionId = this.#sessionOf(follows, body, repeat);
    const ref: ResponseRef = { keygroup: model.keygroup, userId, sessionId, answerId };
    const state: ResponseState = {
      id: this.#ids.response(ref),
      model: model.name,
      createdAt,
      completedAt: undefined,
      status: background ? 'queued' : 'in_progress',
      said: { ...said, store: isKept },
      preamble: asked.preamble,
      previousResponseId: previous && this.#ids.response(previous),
      conversationId: follows.conversation && this.#ids.conversation(ref),
      output: [],
      usage: undefined,
      error: undefined,
    };
    const planned = { model, asked, ref, state, background, ids: this.#ids };
    if (!isKept) {
      const before = previous && (await this.#before(previous, signal));
      const conversation = [...(before ?? []), ...messages];
      if (follows.conversation !== undefined)
        throw new DiscedgeError('unsupported_parameter', 'a conversation keeps its responses: leave store out', {
          param: 'store',
        });
      const forward: ForwardRequest = { ...asked.options, prompt: { conversation }, preamble: asked.preamble, userId };
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
      withoutLayers: asked.withoutLayers,
      reasoning: 'as-template',
    };
    return new PlannedResponse({ ...planned, request });
  }

  async #follows(body: CreateBody, principal: Principal, signal: AbortSignal): Promise<Follows> {
    const { previous_response_id: previousId, conversation } = body;
    if (previousId !== undefined && conversation !== undefined)
      throw invalid('previous_response_id', 'send previous_response_id or conversation, not both');
    if (previousId !== undefined) {
      const previous = this.#ids.openResponse(previousId, principal);
      const model = previous && this.#stored.modelOf(previous);
      if (previous === undefined || model === undefined || !isMeant(body.user, previous.userId, principal))
        throw previousNotFound();
      this.#requireModel(body.model, model);
      return { model, userId: previous.userId, previous };
    }
    if (conversation !== undefined) {
      const key = this.#ids.openConversation(
        typeof conversation === 'string' ? conversation : conversation.id,
        principal,
      );
      const model = key && this.#stored.modelOf(key);
      if (key === undefined || model === undefined || !isMeant(body.user, key.userId, principal))
        throw conversationNotFound();
      this.#requireModel(body.model, model);
      const maxWaitMs = this.#parts.options.maxWaitMs;
      await model.contextManager.sessions.history(key.userId, key.sessionId, { maxWaitMs, signal }).catch((error) => {
        throw isMissing(error) ? conversationNotFound() : error;
      });
      return { model, userId: key.userId, conversation: key.sessionId };
    }
    return { model: this.#parts.models.find(body.model), userId: userOf(principal, body.user) };
  }

  #requireModel(name: string | undefined, model: ServedModel): void {
    if (name === undefined || this.#parts.models.find(name) === model) return;
    throw invalid('model', `what is gone on from is of the model ${model.name}, and stays with it`);
  }

  async #messages(input: CreateBody['input'], of: ItemOwner, signal: AbortSignal): Promise<Message[]> {
    return messagesOf((input ?? []) as never, this.sources(of, signal));
  }

  /** Of one user's items. No more may stand behind references than a body could have said itself. */
  sources(of: ItemOwner, signal: AbortSignal): ItemSources {
    return {
      resolve: (id) => this.#messagesOfItem(id, of, signal),
      summaryIn: (sealed) => this.#compactions.open(sealed, of.owner),
      charactersMax: this.#parts.options.bodyBytesMax,
    };
  }

  /** The message that an item's id names; `undefined` for one that is not known here, is gone, or is somebody else's. */
  async #messagesOfItem(
    id: string,
    { owner, principal }: ItemOwner,
    signal: AbortSignal,
  ): Promise<readonly Message[] | undefined> {
    const item = this.#ids.openItem(id, principal);
    if (item?.userId !== owner) return undefined;
    return this.#stored.messagesOf(item, signal).catch((error) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
  }

  async #before(previous: ResponseRef, signal: AbortSignal): Promise<Message[]> {
    const found = await this.#stored.find(previous, signal).catch((error) => {
      throw isMissing(error) ? previousNotFound() : error;
    });
    return this.#stored.conversationUpTo(found);
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
    const opened = repeat === 'repeated' ? this.#openings.find({ userId, request }) : undefined;
    const sessionId = opened ?? (this.#parts.node.environment.random.uuid() as SessionId);
    this.#openings.note({ userId, request }, sessionId);
    return sessionId;
  }
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
function isMeant(named: UserId | undefined, owner: UserId, principal: Principal): boolean {
  return named === undefined || userOf(principal, named) === owner;
}
