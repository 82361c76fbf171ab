import type { ReplyCost } from '../../../../context-manager/turn/turn.ts';
import { type AnswerId, answerIdExtension } from '../../../../domain/record/answer-id.ts';
import type { Extensions } from '../../../../domain/record/extensions.ts';
import type { TurnRecord } from '../../../../domain/record/turn-record.ts';
import { METADATA, metadataExtension } from '../metadata.ts';
import { decodeNote, encodeNote } from '../responses/response-note.ts';

/** What a record says of the chat completion that it is, beside what every record says. */
export interface ChatNote {
  /** Seconds since 1970. */
  readonly createdAt: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
}

const NOTE = 'openai.chat';
/** On a record of its own: the answer whose metadata is what stands beside it from here on. */
const METADATA_OF = 'openai.chat-metadata-of';

/** What a reply is kept with: its id, and what it took. */
export function chatExtensions(
  answerId: AnswerId,
  { createdAt, metadata }: { readonly createdAt: number; readonly metadata: Extensions | undefined },
): (cost: ReplyCost) => Extensions {
  return ({ promptTokens, usage }) => {
    const note: ChatNote = { createdAt, promptTokens, cachedTokens: usage.cachedTokens };
    return new Map([...answerIdExtension(answerId), ...(metadata ?? []), [NOTE, encodeNote(note)]]);
  };
}

/** `undefined` for a turn that is no chat completion. */
export function chatNoteOf({ extensions }: Pick<TurnRecord, 'extensions'>): ChatNote | undefined {
  const bytes = extensions?.get(NOTE);
  return bytes && (decodeNote(bytes) as ChatNote | undefined);
}

/** Other metadata of an answer. Throws `invalid_request` for more than a record holds. */
export function newMetadataExtensions(answerId: AnswerId, metadata: Record<string, string>): Extensions {
  return new Map([...metadataExtension(metadata), [METADATA_OF, Uint8Array.from(Buffer.from(answerId, 'hex'))]]);
}

/** What a record says of an answer's metadata: its own, or what replaces it. */
export function metadataOf(
  { extensions }: Pick<TurnRecord, 'extensions'>,
  answerId: AnswerId,
  { isOwn }: { readonly isOwn: boolean },
): Record<string, string> | undefined {
  const of = extensions?.get(METADATA_OF);
  if (!isOwn && (of === undefined || Buffer.from(of).toString('hex') !== answerId)) return undefined;
  const bytes = extensions?.get(METADATA);
  return bytes && (JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, string>);
}
