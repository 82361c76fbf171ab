import type { TextMessage } from '../../domain/record/turn-record.ts';
import { strip } from '../jinja/text.ts';
import type { CallPlace, MessageOutline } from './classes/conversation-form.ts';

/** A message as a template is given it. */
export interface TemplateMessage extends TextMessage {
  /** Of an assistant's message: what it calls, after its text. */
  readonly calls?: readonly TemplateCall[];
  /** Of a tool's message: the call that it answers. */
  readonly answers?: CallPlace;
}

export interface TemplateCall {
  readonly name: string;
  /** JSON, where it is that. */
  readonly arguments: string;
}

export function outlineOf({ role, content, calls, answers }: TemplateMessage): MessageOutline {
  return {
    role,
    ...(calls !== undefined && {
      calls: calls.map(({ name }) => name),
      says: strip(content, { start: true, end: true }) !== '',
    }),
    ...(answers !== undefined && { answers: { name: answers.name, place: answers.place } }),
  };
}

/** Equal for messages that a template writes in the same way. */
export function outlineKey({ role, calls, says, answers }: MessageOutline): string {
  if (calls !== undefined) return `${role}${says ? '+' : ''}(${calls.join()})`;
  return answers === undefined ? role : `${role}(${answers.name}#${answers.place})`;
}
