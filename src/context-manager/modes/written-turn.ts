import type { TurnNumber } from '../../domain/identifiers.ts';
import { conversationIds, type ReplyEnd, replyEndOf } from '../../domain/record/reply-end.ts';
import type { MessageSpan, SessionRecord, TokenizedPayload, TurnRecord } from '../../domain/record/turn-record.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';
import type {
  ChatTemplate,
  ConversationTurn,
  MessageOutline,
  PromptPreamble,
} from '../../llm-service/chat-template.ts';
import { type KnownCalls, markedCalls } from './known-calls.ts';

/** A turn of a token record, as it was read and written, but for an end of its reply that another has taken the place of. */
export class WrittenTurn implements ConversationTurn {
  readonly payload: TokenizedPayload;
  readonly number: TurnNumber;
  readonly messages: readonly MessageOutline[];
  readonly calls: readonly string[];
  /** What stood before the conversation in its prompt. */
  readonly preamble: PromptPreamble;
  readonly reasoningLength: number;
  /** Where in its prompt's ids its messages end. */
  readonly messagesEnd: number;
  readonly #record: TurnRecord;
  readonly #known: KnownCalls;
  #replyEnd: ReplyEnd;
  #ended: boolean;

  /** Any record but a tokenized turn is a defect. */
  constructor(
    written: { readonly record: SessionRecord },
    { preamble, calls }: { readonly preamble: PromptPreamble; readonly calls: KnownCalls },
  ) {
    this.payload = tokenizedPayload(written);
    this.preamble = preamble;
    const record = written.record as TurnRecord;
    this.#record = record;
    this.#known = calls;
    this.number = record.turn;
    const { spans, marks, leadLength } = this.payload;
    this.messages = spans.map((span) => messageOutline(span, marks, calls));
    this.calls = markedCalls(marks, 'reply').map(({ name }) => name);
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

  /** The same behind another turn: with the end of that one's reply in the place of the end that it was written with. */
  withLead(lead: TokenSequence): WrittenTurn {
    const { promptIds, leadLength, spans, marks } = this.payload;
    const moved = lead.length - leadLength;
    const payload: TokenizedPayload = {
      ...this.payload,
      promptIds: [...lead, ...promptIds.slice(leadLength)],
      leadLength: lead.length,
      spans: spans.map((span) => ({ ...span, start: span.start + moved })),
      ...(marks && {
        marks: marks.map((mark) => (mark.segment === 'prompt' ? { ...mark, start: mark.start + moved } : mark)),
      }),
    };
    return new WrittenTurn({ record: { ...this.#record, payload } }, { preamble: this.preamble, calls: this.#known });
  }

  content(message: number): TokenSequence {
    const span = this.payload.spans[message];
    return span === undefined ? [] : this.payload.promptIds.slice(span.start, span.start + span.length);
  }

  get generationPrompt(): TokenSequence {
    return this.payload.promptIds.slice(this.messagesEnd);
  }
}

/** `calls`: those of the turn and of all before it. */
function messageOutline(span: MessageSpan, marks: TokenizedPayload['marks'], calls: KnownCalls): MessageOutline {
  const { role, start, length } = span;
  const called = markedCalls(marks, 'prompt', span).map(({ name }) => name);
  if (called.length > 0) {
    const says = !marks?.some(
      (mark) => mark.part.type === 'tool-call' && mark.segment === 'prompt' && mark.start === start,
    );
    return { role, calls: called, says };
  }
  const result = marks?.find(
    (mark) =>
      mark.segment === 'prompt' && mark.part.type === 'tool-result' && mark.start === start && mark.length === length,
  );
  const answers = result?.part.type === 'tool-result' ? calls.find(result.part.callId) : undefined;
  return answers === undefined ? { role } : { role, answers };
}

/** The tokenized payload of a turn; any other record here is a defect. */
export function tokenizedPayload({ record }: { readonly record: SessionRecord }): TokenizedPayload {
  if (record.kind !== 'turn' || record.payload.mode !== 'tokenized') throw new TypeError('not a tokenized turn');
  return record.payload;
}

/** The end of a turn that was left out, where it is also how the next message begins. */
export function endOfDropped({ ended, replyIds }: WrittenTurn, template: ChatTemplate): TokenSequence {
  const last = replyIds.slice(-1);
  return ended && last.every((id) => template.endOpensNext(id)) ? last : [];
}
