import { DiscedgeError } from '../../domain/errors.ts';
import { type MessageContent, plainText } from '../../domain/record/message-content.ts';
import type { Message, TextMessage, TokenizedPayload } from '../../domain/record/turn-record.ts';

/*
 * What these modes put before a model is text. Anything else is refused with `unsupported_parameter`: left out in silence, it
 * would make the model answer another question.
 */

export function textMessages(messages: readonly Message[]): TextMessage[] {
  return messages.map(({ role, content }) => ({ role, content: textContent(content) }));
}

export function textContent(content: MessageContent): string {
  const text = plainText(content);
  if (text === undefined) throw unsupported('tool calls, images, audio or thinking as parts of a message');
  return text;
}

/** Ids that stand for media mean nothing without the media. Calls, results and thinking are all in the ids. */
export function refuseMedia({ marks }: TokenizedPayload): void {
  if (marks?.some(({ part }) => part.type === 'image' || part.type === 'audio')) throw unsupported('images and audio');
}

function unsupported(what: string): DiscedgeError {
  return new DiscedgeError('unsupported_parameter', `the LLM Service of this node cannot read ${what}`);
}
