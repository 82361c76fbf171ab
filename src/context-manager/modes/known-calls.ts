import { DiscedgeError } from '../../domain/errors.ts';
import type { IdMark, MessageContent } from '../../domain/record/message-content.ts';
import type { AnsweredRecord } from '../../domain/record/turn-record.ts';
import type { CallPlace } from '../../llm-service/chat-template.ts';

/** The calls of a conversation by their ids, so that a result finds the one that it answers. */
export class KnownCalls {
  readonly #before: KnownCalls | undefined;
  /** Most conversations have none. */
  #calls: Map<string, CallPlace> | undefined;

  /** `before`: of the conversation so far, which is not added to. */
  constructor(before?: KnownCalls) {
    this.#before = before;
  }

  find(callId: string): CallPlace | undefined {
    return this.#calls?.get(callId) ?? this.#before?.find(callId);
  }

  /** Calls of one message, in order. */
  add(calls: readonly { readonly callId: string; readonly name: string }[]): void {
    for (const [place, { callId, name }] of calls.entries()) {
      this.#calls ??= new Map();
      this.#calls.set(callId, { name, place });
    }
  }

  /** Those of a stored turn: of assistants' messages that it began with, and of its reply. */
  addTurn({ payload }: Pick<AnsweredRecord, 'payload'>): void {
    if (payload.mode === 'raw') {
      for (const { content } of payload.messages) this.add(callsIn(content));
      this.add(callsIn(payload.reply));
      return;
    }
    for (const { start, length } of payload.spans) this.add(markedCalls(payload.marks, 'prompt', { start, length }));
    this.add(markedCalls(payload.marks, 'reply'));
  }
}

export function callNotFound(callId: string): DiscedgeError {
  const message = `a tool result answers the call ${callId}, which this conversation does not have`;
  return new DiscedgeError('invalid_request', message, { param: 'messages' });
}

export function callsIn(content: MessageContent) {
  return typeof content === 'string' ? [] : content.flatMap((part) => (part.type === 'tool-call' ? [part] : []));
}

/** The calls marked in a segment, or in a stretch of it, in order. */
export function markedCalls(
  marks: readonly IdMark[] | undefined,
  segment: IdMark['segment'],
  within?: { readonly start: number; readonly length: number },
) {
  return (marks ?? []).flatMap((mark) => {
    if (mark.segment !== segment || mark.part.type !== 'tool-call') return [];
    if (within !== undefined && !isWithin(mark, within)) return [];
    return [mark.part];
  });
}

export function isWithin(
  { start, length }: IdMark,
  span: { readonly start: number; readonly length: number },
): boolean {
  return start >= span.start && start + length <= span.start + span.length;
}
