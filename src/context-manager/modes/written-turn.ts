import { conversationIds, replyEndOf } from '../../domain/record/reply-end.ts';
import type { Role, SessionRecord, TokenizedPayload, TurnRecord } from '../../domain/record/turn-record.ts';
import { appendTokens, type TokenId, type TokenSequence } from '../../domain/token-sequence.ts';
import type { ChangedTurn, ConversationTurn } from '../../llm-service/chat-template.ts';

/**
 * A turn of a token record in a context: what was read and written, and how it stands now, which is as it was read and
 * written unless a template has it otherwise once it is past.
 */
export class WrittenTurn implements ConversationTurn {
  readonly payload: TokenizedPayload;
  readonly roles: readonly Role[];
  readonly replyIds: TokenSequence;
  readonly ended: boolean;
  readonly reasoningLength: number;
  readonly #messagesEnd: number;
  #messages: ChangedTurn['messages'];
  #reply: ChangedTurn['reply'];

  /** Any record but a tokenized turn is a defect. */
  constructor(written: { readonly record: SessionRecord }) {
    this.payload = tokenizedPayload(written);
    const record = written.record as TurnRecord;
    const { spans, marks, replyIds } = this.payload;
    this.roles = spans.map(({ role }) => role);
    this.replyIds = conversationIds(replyIds, replyEndOf(record));
    this.ended = record.stop.kind === 'end';
    const thinking = marks?.find(
      ({ part, segment, start }) => part.type === 'thinking' && segment === 'reply' && start === 0,
    );
    this.reasoningLength = Math.min(thinking?.length ?? 0, this.replyIds.length);
    this.#messagesEnd = spans.reduce((end, { start, length }) => Math.max(end, start + length), 0);
  }

  get promptIds(): TokenSequence {
    return this.payload.promptIds;
  }

  content(message: number): TokenSequence {
    const span = this.payload.spans[message];
    return span === undefined ? [] : this.payload.promptIds.slice(span.start, span.start + span.length);
  }

  get generationPrompt(): TokenSequence {
    return this.payload.promptIds.slice(this.#messagesEnd);
  }

  /** The ids at its beginning that are not its own. */
  get lead(): TokenSequence {
    const { ids, leadLength } = this.#messages ?? { ids: this.payload.promptIds, leadLength: this.payload.leadLength };
    return ids.slice(0, leadLength);
  }

  /** As it stands now; `alone`: nothing is before it but the preamble. */
  appendTo(target: TokenId[], alone: boolean): void {
    const { promptIds, leadLength } = this.payload;
    if (this.#messages !== undefined)
      appendTokens(target, alone ? this.#messages.ids.slice(this.#messages.leadLength) : this.#messages.ids);
    else appendTokens(target, promptIds.slice(alone ? leadLength : 0, this.#messagesEnd));
    if (this.#reply !== undefined) {
      appendTokens(target, this.#reply);
      return;
    }
    appendTokens(target, promptIds.slice(this.#messagesEnd));
    appendTokens(target, this.replyIds);
  }

  change({ messages, reply }: ChangedTurn): void {
    if (messages !== undefined) this.#messages = messages;
    if (reply !== undefined) this.#reply = reply;
  }
}

/** The tokenized payload of a turn; any other record here is a defect. */
export function tokenizedPayload({ record }: { readonly record: SessionRecord }): TokenizedPayload {
  if (record.kind !== 'turn' || record.payload.mode !== 'tokenized') throw new TypeError('not a tokenized turn');
  return record.payload;
}
