import type { AnswerId } from '../../../../domain/record/answer-id.ts';
import { answerIdExtension } from '../../../../domain/record/answer-id.ts';
import type { Extensions } from '../../../../domain/record/extensions.ts';
import type { Turn } from '../../../../domain/session/session-history.ts';
import { decodeNote, encodeNote } from '../responses/response-note.ts';

/** What a record says of the conversation that it is part of. */
export interface ConversationNote {
  /** Seconds since 1970; of the first record. */
  readonly createdAt?: number;
  /** From here on; the last one that says it counts. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** The item, by its id, is not shown any more. */
  readonly deletedItem?: string;
}

const NOTE = 'openai.conversation';

/** With an id for the items that are added in the same record. */
export function conversationExtensions(answerId: AnswerId, note: ConversationNote): Extensions {
  const isEmpty = Object.keys(note).length === 0;
  return new Map([...answerIdExtension(answerId), ...(isEmpty ? [] : [[NOTE, encodeNote(note)] as const])]);
}

export function conversationNoteOf({ record }: Turn): ConversationNote | undefined {
  const bytes = record.extensions?.get(NOTE);
  return bytes && (decodeNote(bytes) as ConversationNote | undefined);
}
