import { isId } from '../identifiers.ts';

/**
 * What a message says: plain text, or parts. Media are named by the digest of their bytes and never carried, so a record
 * stays small whatever is talked about; where the bytes are kept is not the record's business.
 */
export type MessageContent = string | readonly ContentPart[];

export type ContentPart = TextPart | MediaPart | ThinkingPart | ToolCallPart | ToolResultPart;

export interface TextPart {
  readonly type: 'text';
  readonly text: string;
}

export interface MediaPart {
  readonly type: 'image' | 'audio';
  /** SHA-256 of the bytes: 64 lower-case hex digits. */
  readonly digest: string;
  /** For example `image/png`: lower case, no parameters, at most {@link MEDIA_TYPE_BYTES_MAX} bytes. */
  readonly mediaType: string;
  /** How many bytes there are. */
  readonly size: number;
}

/** What a model wrote for itself before it answered. */
export interface ThinkingPart {
  readonly type: 'thinking';
  readonly text: string;
}

/** Call id and tool name have the form of other ids: at most 128 bytes, no control characters. */
export interface ToolCallPart {
  readonly type: 'tool-call';
  readonly callId: string;
  readonly name: string;
  /** As the model wrote them: JSON, where it kept to that. */
  readonly arguments: string;
}

export interface ToolResultPart {
  readonly type: 'tool-result';
  /** Of the call that it answers. */
  readonly callId: string;
  readonly isError: boolean;
  readonly output: string;
}

/**
 * What some ids of a turn stand for, where the ids alone do not say it: a picture behind placeholders, the call that a model
 * wrote in its own syntax, which ids are thinking. Text is the ids' own.
 */
export interface IdMark {
  readonly segment: 'prompt' | 'reply';
  readonly start: number;
  readonly length: number;
  readonly part: MarkedPart;
}

export type MarkedPart = MediaPart | ToolCallPart | Omit<ToolResultPart, 'output'> | Omit<ThinkingPart, 'text'>;

/** Parts of one message and marks of one turn: hundreds of pages or calls. Their text is bounded by the record alone. */
export const PARTS_MAX = 1_024;
/** What RFC 6838 allows for type and subtype together. */
export const MEDIA_TYPE_BYTES_MAX = 255;

/**
 * A content as people read it: what is not text is named in brackets, so that nothing goes missing unseen; thinking is left
 * out. For display. What a model reads is made of {@link plainText}.
 */
export function textOf(content: MessageContent): string {
  if (typeof content === 'string') return content;
  return content
    .filter(({ type }) => type !== 'thinking')
    .map((part) => (part.type === 'text' ? part.text : `[${part.type}]`))
    .join('\n');
}

/** A content that is nothing but text; `undefined` when something would be lost. */
export function plainText(content: MessageContent): string | undefined {
  if (typeof content === 'string') return content;
  const texts = content.flatMap((part) => (part.type === 'text' ? [part.text] : []));
  return texts.length === content.length ? texts.join('\n') : undefined;
}

/** What a reply answers in words: its text, without what the model thought and called. */
export function answerText(parts: readonly ContentPart[]): string {
  return parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('');
}

/** Why no record may hold this; `undefined` when one may. */
export function contentFault(content: MessageContent): string | undefined {
  if (typeof content === 'string') return undefined;
  if (content.length === 0 || content.length > PARTS_MAX) return `a content of ${content.length} parts`;
  return firstFault(content);
}

/** As {@link contentFault}, for marks in segments of so many ids. */
export function marksFault(marks: readonly IdMark[], ids: { prompt: number; reply: number }): string | undefined {
  if (marks.length > PARTS_MAX) return `${marks.length} marks`;
  if (marks.some(({ segment, start, length }) => start + length > ids[segment])) return 'a mark outside its ids';
  return firstFault(marks.map(({ part }) => part));
}

function firstFault(parts: readonly (ContentPart | MarkedPart)[]): string | undefined {
  for (const part of parts) {
    const fault = partFault(part);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function partFault(part: ContentPart | MarkedPart): string | undefined {
  switch (part.type) {
    case 'image':
    case 'audio':
      return isMediaType(part.mediaType) ? undefined : 'a malformed media type';
    case 'tool-call':
      return isId(part.callId) && isId(part.name) ? undefined : 'a malformed tool call';
    case 'tool-result':
      return isId(part.callId) ? undefined : 'a malformed tool result';
    case 'text':
    case 'thinking':
      return undefined;
    default:
      return part satisfies never;
  }
}

function isMediaType(text: string): boolean {
  return text.length <= MEDIA_TYPE_BYTES_MAX && /^[a-z0-9][a-z0-9!#$&^_.+-]*\/[a-z0-9][a-z0-9!#$&^_.+-]*$/.test(text);
}
