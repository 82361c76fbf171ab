import type { TurnNumber } from '../../domain/identifiers.ts';
import { conversationIds, type ReplyEnd, replyEndOf } from '../../domain/record/reply-end.ts';
import type { Role, SessionRecord, TokenizedPayload, TurnRecord } from '../../domain/record/turn-record.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { ConversationTurn } from '../../llm-service/chat-template.ts';

/** A turn of a token record, as it was read and written, but for an end of its reply that another has taken the place of. */
export class WrittenTurn implements ConversationTurn {
  readonly payload: TokenizedPayload;
  readonly number: TurnNumber;
  readonly roles: readonly Role[];
  readonly reasoningLength: number;
  /** Where in its prompt's ids its messages end. */
  readonly messagesEnd: number;
  #replyEnd: ReplyEnd;
  #ended: boolean;

  /** Any record but a tokenized turn is a defect. */
  constructor(written: { readonly record: SessionRecord }) {
    this.payload = tokenizedPayload(written);
    const record = written.record as TurnRecord;
    this.number = record.turn;
    const { spans, marks, leadLength } = this.payload;
    this.roles = spans.map(({ role }) => role);
    this.#replyEnd = replyEndOf(record);
    this.#ended = record.stop.kind === 'end';
    const thinking = marks?.find(
      ({ part, segment, start }) => part.type === 'thinking' && segment === 'reply' && start === 0,
    );
    this.reasoningLength = Math.min(thinking?.length ?? 0, this.replyIds.length);
    this.messagesEnd = spans.reduce((end, { start, length }) => Math.max(end, start + length), leadLength);
  }

  get promptIds(): TokenSequence {
    return this.payload.promptIds;
  }

  get replyIds(): TokenSequence {
    return conversationIds(this.payload.replyIds, this.#replyEnd);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The token by which it ended is not part of the conversation any more. */
  loseEnd(): void {
    const { hidden, instead } = this.#replyEnd;
    this.#replyEnd = { hidden: hidden + 1, instead };
    this.#ended = false;
  }

  content(message: number): TokenSequence {
    const span = this.payload.spans[message];
    return span === undefined ? [] : this.payload.promptIds.slice(span.start, span.start + span.length);
  }

  get generationPrompt(): TokenSequence {
    return this.payload.promptIds.slice(this.messagesEnd);
  }
}

/** The tokenized payload of a turn; any other record here is a defect. */
export function tokenizedPayload({ record }: { readonly record: SessionRecord }): TokenizedPayload {
  if (record.kind !== 'turn' || record.payload.mode !== 'tokenized') throw new TypeError('not a tokenized turn');
  return record.payload;
}
