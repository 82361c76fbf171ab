import { DiscedgeError } from '../../domain/errors.ts';
import {
  type ContentPart,
  type MarkedPart,
  type MessageContent,
  plainText,
} from '../../domain/record/message-content.ts';
import type { Message, TokenizedPayload } from '../../domain/record/turn-record.ts';
import type { TemplateMessage } from '../../llm-service/chat-template.ts';
import { callNotFound, callsIn, type KnownCalls } from './known-calls.ts';

/** A message as its template is given it, and what its ids are marked as in the record. */
export interface SaidMessage extends TemplateMessage {
  readonly marks: readonly MarkedPart[];
}

/**
 * Messages as a template is given them: a tool's message of several results as one for each. What an assistant thought before
 * it answered is left out, as templates do with what is past. Throws `unsupported_parameter` for images and audio: left out in
 * silence, they would make the model answer another question; `invalid_request` for a result of no call that is known.
 * `calls` learns of the calls in the messages.
 */
export function saidMessages(messages: readonly Message[], calls: KnownCalls): SaidMessage[] {
  return messages.flatMap((message) => {
    const { role, content } = message;
    if (typeof content === 'string') return [{ role, content, marks: [] }];
    if (role === 'tool') return content.map((part) => resultMessage(part, calls));
    return [
      role === 'assistant' ? assistantMessage(content, calls) : { role, content: textContent(content), marks: [] },
    ];
  });
}

function resultMessage(part: ContentPart, calls: KnownCalls): SaidMessage {
  if (part.type === 'text') return { role: 'tool', content: part.text, marks: [] };
  if (part.type !== 'tool-result') throw unsupported(`a ${part.type} in a tool's message`);
  const { callId, isError, output } = part;
  const answers = calls.find(callId);
  if (answers === undefined) throw callNotFound(callId);
  return { role: 'tool', content: output, answers, marks: [{ type: 'tool-result', callId, isError }] };
}

function assistantMessage(content: readonly ContentPart[], known: KnownCalls): SaidMessage {
  const calls = callsIn(content);
  const said = content.filter(({ type }) => type !== 'tool-call' && type !== 'thinking');
  const text = said.length === 0 ? '' : textContent(said);
  if (calls.length === 0) return { role: 'assistant', content: text, marks: [] };
  known.add(calls);
  return { role: 'assistant', content: text, calls, marks: calls };
}

function textContent(content: MessageContent): string {
  const text = plainText(content);
  if (text === undefined) throw unsupported('images, audio, calls or results as parts of such a message');
  return text;
}

/** Ids that stand for media mean nothing without the media. Calls, results and thinking are all in the ids. */
export function refuseMedia({ marks }: TokenizedPayload): void {
  if (marks?.some(({ part }) => part.type === 'image' || part.type === 'audio')) throw unsupported('images and audio');
}

function unsupported(what: string): DiscedgeError {
  return new DiscedgeError('unsupported_parameter', `the LLM Service of this node cannot read ${what}`);
}
