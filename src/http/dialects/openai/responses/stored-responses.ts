import type { ServedModel } from '../../../../context-manager/model-directory.ts';
import type { FoundAnswer } from '../../../../context-manager/sessions/answers.ts';
import { DiscedgeError } from '../../../../domain/errors.ts';
import { answerIdOf } from '../../../../domain/record/answer-id.ts';
import type { ContentPart } from '../../../../domain/record/message-content.ts';
import { NO_PREAMBLE, type Preamble } from '../../../../domain/record/preamble.ts';
import type { Message, TurnRecord } from '../../../../domain/record/turn-record.ts';
import type { Turn } from '../../../../domain/session/session-history.ts';
import type { AppParts } from '../../../app-parts.ts';
import { ItemIds, type ItemView, inputItems, outputItems } from './item-views.ts';
import { responseNoteOf } from './response-note.ts';
import type { ItemRef, ResponseIds, ResponseRef } from './response-ref.ts';
import type { ResponseState } from './response-view.ts';

export interface FoundResponse extends FoundAnswer {
  readonly model: ServedModel;
  readonly ref: ResponseRef;
  readonly state: ResponseState;
}

/** Responses as their records say them, at whichever node. */
export class StoredResponses {
  readonly #parts: Pick<AppParts, 'models' | 'options'>;
  readonly #ids: ResponseIds;

  constructor(parts: Pick<AppParts, 'models' | 'options'>, ids: ResponseIds) {
    this.#parts = parts;
    this.#ids = ids;
  }

  /** The model whose response that is; `undefined` where this node does not serve it. */
  modelOf({ keygroup }: Pick<ResponseRef, 'keygroup'>): ServedModel | undefined {
    return this.#parts.models.all.find((model) => model.keygroup === keygroup);
  }

  /** Throws `session_not_found` for what is no response, or is gone; `context_stale` for one that may still come. */
  async find(
    ref: ResponseRef,
    signal: AbortSignal,
    { maxWaitMs } = { maxWaitMs: this.#parts.options.maxWaitMs },
  ): Promise<FoundResponse> {
    const model = this.modelOf(ref);
    if (model === undefined) throw new DiscedgeError('session_not_found', 'this node does not serve its model');
    const wait = { maxWaitMs, signal };
    const found = await model.contextManager.answers.find(ref, ref.answerId, wait);
    const preamble = await preambleOf(found, model);
    const state = this.stateOf({ model, ref, turn: found.turn, parts: found.text.parts, preamble });
    if (state === undefined) throw new DiscedgeError('session_not_found', 'that turn is no response');
    return { ...found, model, ref, state };
  }

  /** `undefined` for a turn that is none of this API's. */
  stateOf(stored: {
    readonly model: ServedModel;
    readonly ref: ResponseRef;
    readonly turn: Turn;
    readonly parts: readonly ContentPart[];
    readonly preamble: Preamble;
  }): ResponseState | undefined {
    const { model, ref, turn, parts, preamble } = stored;
    const { record } = turn;
    const note = responseNoteOf(record);
    if (note === undefined) return undefined;
    const ids = new ItemIds(this.#ids, ref);
    const isCut = record.stop.kind === 'limit';
    const summarized = isSummarized(note.said);
    const isAnswered = record.payload.mode !== 'items';
    return {
      id: this.#ids.response(ref),
      model: model.name,
      createdAt: note.createdAt,
      completedAt: Math.max(note.createdAt, Math.floor(record.writtenAtMs / 1000)),
      status: isCut ? 'incomplete' : 'completed',
      said: note.said,
      preamble,
      previousResponseId: note.after && this.#ids.response({ ...ref, answerId: note.after }),
      conversationId: note.inConversation && this.#ids.conversation(ref),
      output: isAnswered ? outputItems(parts, { ids, isCut, summarized }) : [],
      usage: { ...note, outputTokens: outputTokens(record), reasoningTokens: reasoningTokens(record, parts) },
      error: undefined,
    };
  }

  /** What the response was asked, oldest first: not what was added to its conversation before. */
  inputOf({ turn, text, history, ref }: Pick<FoundResponse, 'turn' | 'text' | 'history' | 'ref'>): ItemView[] {
    return inputItems(ownMessages({ turn, text, history }), new ItemIds(this.#ids, ref));
  }

  /** The message that an item is of, for a model to read again. */
  async messagesOf(item: ItemRef, signal: AbortSignal): Promise<readonly Message[] | undefined> {
    const model = this.modelOf(item);
    if (model === undefined) return undefined;
    const wait = { maxWaitMs: this.#parts.options.maxWaitMs, signal };
    const { turn, text, history } = await model.contextManager.answers.find(item, item.answerId, wait);
    if (item.side === 'out') {
      const part = text.parts[item.index];
      return part && [{ role: 'assistant', content: [part] }];
    }
    const parts = ownMessages({ turn, text, history }).flatMap(({ role, content }) =>
      (typeof content === 'string' ? [{ type: 'text' as const, text: content }] : content).map((part) => ({
        role,
        part,
      })),
    );
    const found = parts[item.index];
    return found && [{ role: found.role, content: [found.part] }];
  }

  /** The conversation that ends in a turn, as messages. */
  async conversationUpTo({
    model,
    history,
    turn,
  }: Pick<FoundResponse, 'model' | 'history' | 'turn'>): Promise<Message[]> {
    const messages: Message[] = [];
    const line = history.line(turn);
    const answeredUpTo = history.lastAnswered(turn)?.record.turn ?? 0;
    for (const one of line) {
      const isRead = one.record.payload.mode === 'items' && one.record.turn < answeredUpTo;
      if (isRead) continue;
      const text = await model.contextManager.answers.textOf(one);
      messages.push(...text.messages);
      if (one.record.payload.mode !== 'items')
        messages.push({ role: 'assistant', content: text.parts.length > 0 ? text.parts : '' });
    }
    return messages;
  }

  refOf(turn: Turn): ResponseRef | undefined {
    const answerId = answerIdOf(turn.record);
    const { keygroup, userId, sessionId } = turn.record;
    return answerId && { keygroup, userId, sessionId, answerId };
  }
}

/** Without what was added before, which the turn took in. */
export function ownMessages({ turn, text, history }: FoundAnswer): readonly Message[] {
  const { parent } = turn.record;
  if (parent === undefined || turn.record.payload.mode === 'items') return text.messages;
  const taken = history
    .addedUpTo(history.get(parent))
    .reduce((sum, { record: { payload } }) => sum + (payload.mode === 'items' ? payload.messages.length : 0), 0);
  return text.messages.slice(taken);
}

/** What stood before the conversation: said by the nearest turn that changed it. */
async function preambleOf({ turn, history }: FoundAnswer, model: ServedModel): Promise<Preamble> {
  let said: Turn | undefined = turn;
  while (said !== undefined && said.record.preamble === undefined)
    said = said.record.parent === undefined ? undefined : history.get(said.record.parent);
  const text = said && (await model.contextManager.answers.textOf(said));
  return text?.preamble ?? NO_PREAMBLE;
}

/** Whether a request asked for thinking as a summary. */
export function isSummarized({ reasoning }: Readonly<Record<string, unknown>>): boolean {
  const { summary, generate_summary } = (reasoning ?? {}) as Record<string, unknown>;
  return (summary ?? generate_summary ?? null) !== null;
}

function outputTokens({ payload }: TurnRecord): number {
  return payload.mode === 'tokenized' ? payload.replyIds.length : 0;
}

function reasoningTokens({ payload }: TurnRecord, parts: readonly ContentPart[]): number {
  if (payload.mode !== 'tokenized') return 0;
  // Reasoning that has no end is not marked in the record.
  if (parts.length > 0 && parts.every(({ type }) => type === 'thinking')) return payload.replyIds.length;
  const marks = payload.marks ?? [];
  return marks.reduce((sum, { part, length }) => sum + (part.type === 'thinking' ? length : 0), 0);
}
