import type { ServedModel } from '../../../../context-manager/model-directory.ts';
import type { AddedItems, AddRequest } from '../../../../context-manager/turn/added-items.ts';
import { DiscedgeError, isMissing } from '../../../../domain/errors.ts';
import type { SessionKey, UserId } from '../../../../domain/identifiers.ts';
import type { Principal } from '../../../../domain/principals/principal.ts';
import { ANSWER_ID_BYTES, answerIdFrom, answerIdOf } from '../../../../domain/record/answer-id.ts';
import type { Message } from '../../../../domain/record/turn-record.ts';
import type { Turn } from '../../../../domain/session/session-history.ts';
import type { TipRepeat } from '../../../../domain/session/turn-decision.ts';
import type { AppParts } from '../../../app-parts.ts';
import { withParam } from '../../../requests/parameters.ts';
import { type InputItem, messagesOf } from '../responses/input-items.ts';
import { ItemIds, type ItemView, inputItems, outputItems } from '../responses/item-views.ts';
import type { ItemOwner } from '../responses/plan-response.ts';
import { conversationNotFound } from '../responses/refusals.ts';
import { responseNoteOf } from '../responses/response-note.ts';
import type { Responses } from '../responses/responses.ts';
import { isSummarized, ownMessages } from '../responses/stored-responses.ts';
import { type ConversationNote, conversationExtensions, conversationNoteOf } from './conversation-note.ts';

/** A conversation as its records say it. */
export interface Conversation {
  readonly id: string;
  readonly object: 'conversation';
  readonly created_at: number;
  readonly metadata: Readonly<Record<string, string>>;
}

/** A conversation as a request names it. */
export interface NamedConversation {
  readonly id: string;
  readonly principal: Principal;
}

/** OpenAI's conversations: a conversation is a session, what is added to it a record without a reply, an item a part of either. */
export class Conversations {
  readonly #parts: AppParts;
  readonly #responses: Responses;

  constructor(parts: AppParts, responses: Responses) {
    this.#parts = parts;
    this.#responses = responses;
  }

  /** Throws what its items cannot mean. */
  async create(
    of: {
      model: ServedModel;
      userId: UserId;
      principal: Principal;
      items: readonly InputItem[];
      metadata: Record<string, string>;
    },
    repeat: TipRepeat,
    signal: AbortSignal,
  ): Promise<Conversation> {
    const { model, userId, principal, items, metadata } = of;
    const messages = await this.#messages(items, { owner: userId, principal }, signal);
    const createdAt = Math.floor(this.#parts.node.environment.clock.now() / 1000);
    const sessionId = this.#responses.planner.openedBy({
      userId,
      request: { conversation: of.metadata, items },
      repeat,
    });
    const note = { createdAt, metadata };
    const account = this.#parts.accounts.of(principal);
    const opened = { userId, sessionId, account };
    const { key, stored } = await this.#add(model, opened, { opens: true }, messages, note, signal);
    return this.#view(key, [stored]);
  }

  async find(named: NamedConversation, signal: AbortSignal): Promise<Conversation> {
    const { key, line } = await this.#line(named, signal);
    return this.#view(key, line);
  }

  async update(named: NamedConversation, metadata: Record<string, string>, signal: AbortSignal): Promise<Conversation> {
    const { key, model, line } = await this.#line(named, signal);
    const { stored } = await this.#add(model, key, { tip: 'repeated' }, [], { metadata }, signal);
    return this.#view(key, [...line, stored]);
  }

  /** It and all responses on it are gone for good. */
  async delete(named: NamedConversation, signal: AbortSignal): Promise<void> {
    const { key, model } = await this.#line(named, signal);
    await model.contextManager.sessions.delete(key.userId, key.sessionId, {
      maxWaitMs: this.#parts.options.maxWaitMs,
      signal,
    });
  }

  /** Its items, oldest first. */
  async items(named: NamedConversation, signal: AbortSignal): Promise<ItemView[]> {
    const { key, model, line } = await this.#line(named, signal);
    const deleted = new Set(line.map((turn) => conversationNoteOf(turn)?.deletedItem));
    const items: ItemView[] = [];
    for (const turn of line) items.push(...(await this.#itemsOf(turn, key, model)));
    return items.filter((item) => !deleted.has(item.id));
  }

  async item(named: NamedConversation, itemId: string, signal: AbortSignal): Promise<ItemView> {
    const item = (await this.items(named, signal)).find((one) => one.id === itemId);
    if (item === undefined) throw new DiscedgeError('item_not_found', 'there is no such item', { param: 'item_id' });
    return item;
  }

  /** Those that were added, as they are shown then. */
  async add(
    named: NamedConversation,
    items: readonly InputItem[],
    repeat: TipRepeat,
    signal: AbortSignal,
  ): Promise<ItemView[]> {
    const { key, model } = await this.#line(named, signal);
    const messages = await this.#messages(items, { owner: key.userId, principal: named.principal }, signal);
    const account = this.#parts.accounts.of(named.principal);
    const { stored } = await this.#add(model, { ...key, account }, { tip: repeat }, messages, {}, signal);
    return this.#itemsOf(stored, key, model);
  }

  async deleteItem(named: NamedConversation, itemId: string, signal: AbortSignal): Promise<Conversation> {
    await this.item(named, itemId, signal);
    const { key, model, line } = await this.#line(named, signal);
    await this.#add(model, key, { tip: 'repeated' }, [], { deletedItem: itemId }, signal);
    return this.#view(key, line);
  }

  /** Throws `conversation_not_found` for what is none, or is gone. */
  async #line(
    { id, principal }: NamedConversation,
    signal: AbortSignal,
  ): Promise<{ key: SessionKey; model: ServedModel; line: readonly Turn[] }> {
    const key = this.#responses.ids.openConversation(id, principal);
    const model = key && this.#responses.stored.modelOf(key);
    if (key === undefined || model === undefined) throw conversationNotFound();
    try {
      const seen = { maxWaitMs: this.#parts.options.maxWaitMs, signal };
      const history = await model.contextManager.sessions.history(key.userId, key.sessionId, seen);
      return { key, model, line: history.line() };
    } catch (error) {
      throw isMissing(error) ? conversationNotFound() : error;
    }
  }

  async #itemsOf(turn: Turn, key: SessionKey, model: ServedModel): Promise<ItemView[]> {
    const answerId = answerIdOf(turn.record);
    if (answerId === undefined) return [];
    const ids = new ItemIds(this.#responses.ids, { ...key, answerId });
    const { answers, sessions } = model.contextManager;
    const text = await answers.textOf(turn);
    const wait = { maxWaitMs: 0, signal: new AbortController().signal };
    const history = await sessions.history(key.userId, key.sessionId, wait);
    const asked = inputItems(ownMessages({ turn, text, history }), ids);
    if (turn.record.payload.mode === 'items') return asked;
    const summarized = isSummarized(responseNoteOf(turn.record)?.said ?? {});
    return [...asked, ...outputItems(text.parts, { ids, isCut: turn.record.stop.kind === 'limit', summarized })];
  }

  async #add(
    model: ServedModel,
    { userId, sessionId, account }: Pick<SessionKey, 'userId' | 'sessionId'> & Pick<AddRequest, 'account'>,
    place: { readonly opens: true } | { readonly tip: TipRepeat },
    messages: readonly Message[],
    note: ConversationNote,
    signal: AbortSignal,
  ): Promise<AddedItems> {
    const answerId = answerIdFrom(this.#parts.node.environment.random.bytes(ANSWER_ID_BYTES));
    const extensions = conversationExtensions(answerId, note);
    const { maxWaitMs } = this.#parts.options;
    const request = { userId, sessionId, place, messages, extensions, ttlSeconds: undefined, maxWaitMs, account };
    return model.contextManager.add(request, signal).catch((error) => {
      throw error instanceof DiscedgeError ? withParam(error, { messages: 'items' }) : error;
    });
  }

  #view(key: SessionKey, line: readonly Turn[]): Conversation {
    const notes = line.flatMap((turn) => conversationNoteOf(turn) ?? []);
    return {
      id: this.#responses.ids.conversation(key),
      object: 'conversation',
      created_at: notes.find(({ createdAt }) => createdAt !== undefined)?.createdAt ?? 0,
      metadata: notes.findLast(({ metadata }) => metadata !== undefined)?.metadata ?? {},
    };
  }

  #messages(items: readonly InputItem[], of: ItemOwner, signal: AbortSignal): Promise<Message[]> {
    return messagesOf(items, this.#responses.planner.sources(of, signal), 'items');
  }
}
