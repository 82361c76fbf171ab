import { type ByteReader, type ByteWriter, MalformedBytes, pick } from '../bytes.ts';
import { ID_BYTES_MAX } from '../identifiers.ts';
import {
  type ContentPart,
  type IdMark,
  type MarkedPart,
  MEDIA_TYPE_BYTES_MAX,
  type MediaPart,
  type MessageContent,
  PARTS_MAX,
  type ToolCallPart,
} from './message-content.ts';

const TYPES = ['text', 'image', 'audio', 'thinking', 'tool-call', 'tool-result'] as const;
const SEGMENTS = ['prompt', 'reply'] as const;
const MEDIA_DIGEST_BYTES = 32;

/** Plain text takes one byte more than the text itself. */
export function writeContent(content: MessageContent, writer: ByteWriter): void {
  if (typeof content === 'string') {
    writer.varint(0);
    writer.text(content);
    return;
  }
  writer.varint(content.length);
  for (const part of content) writePart(part, writer);
}

export function readContent(reader: ByteReader): MessageContent {
  const count = reader.varint(PARTS_MAX);
  if (count === 0) return reader.text(reader.remaining);
  const parts: ContentPart[] = [];
  for (let left = count; left > 0; left--) parts.push(readPart(reader));
  return parts;
}

export function writeMarks(marks: readonly IdMark[], writer: ByteWriter): void {
  writer.varint(marks.length);
  for (const { segment, start, length, part } of marks) {
    writer.byte(SEGMENTS.indexOf(segment));
    writer.varint(start);
    writer.varint(length);
    writeMarkedPart(part, writer);
  }
}

export function readMarks(reader: ByteReader): { readonly marks?: readonly IdMark[] } {
  const marks: IdMark[] = [];
  for (let left = reader.varint(PARTS_MAX); left > 0; left--) {
    const segment = pick(SEGMENTS, reader.byte(), 'segment');
    marks.push({ segment, start: reader.varint(), length: reader.varint(), part: readMarkedPart(reader) });
  }
  return marks.length === 0 ? {} : { marks };
}

function writePart(part: ContentPart, writer: ByteWriter): void {
  if (part.type === 'text') writer.byte(TYPES.indexOf(part.type));
  else writeMarkedPart(part, writer);
  if (part.type === 'text' || part.type === 'thinking') writer.text(part.text);
  if (part.type === 'tool-result') writer.text(part.output);
}

function readPart(reader: ByteReader): ContentPart {
  const type = pick(TYPES, reader.byte(), 'part');
  if (type === 'text') return { type, text: reader.text(reader.remaining) };
  const part = readAfterType(type, reader);
  if (part.type === 'thinking') return { ...part, text: reader.text(reader.remaining) };
  if (part.type === 'tool-result') return { ...part, output: reader.text(reader.remaining) };
  return part;
}

/** A part without what its ids say; all of it where there are no such. */
function writeMarkedPart(part: MarkedPart, writer: ByteWriter): void {
  writer.byte(TYPES.indexOf(part.type));
  switch (part.type) {
    case 'image':
    case 'audio':
      writer.hex(part.digest, MEDIA_DIGEST_BYTES);
      writer.text(part.mediaType);
      writer.varint(part.size);
      return;
    case 'tool-call':
      writer.text(part.callId);
      writer.text(part.name);
      writer.text(part.arguments);
      return;
    case 'tool-result':
      writer.text(part.callId);
      writer.byte(part.isError ? 1 : 0);
      return;
    case 'thinking':
      return;
    default:
      part satisfies never;
  }
}

function readMarkedPart(reader: ByteReader): MarkedPart {
  const type = pick(TYPES, reader.byte(), 'part');
  if (type === 'text') throw new MalformedBytes('text marked in ids');
  return readAfterType(type, reader);
}

function readAfterType(type: MarkedPart['type'], reader: ByteReader): MarkedPart {
  switch (type) {
    case 'image':
    case 'audio':
      return readMedia(type, reader);
    case 'tool-call':
      return readToolCall(reader);
    case 'tool-result':
      return { type, callId: reader.text(ID_BYTES_MAX), isError: pick([false, true], reader.byte(), 'outcome') };
    case 'thinking':
      return { type };
    default:
      return type satisfies never;
  }
}

function readMedia(type: MediaPart['type'], reader: ByteReader): MediaPart {
  const digest = reader.hex(MEDIA_DIGEST_BYTES);
  return { type, digest, mediaType: reader.text(MEDIA_TYPE_BYTES_MAX), size: reader.varint() };
}

function readToolCall(reader: ByteReader): ToolCallPart {
  const [callId, name] = [reader.text(ID_BYTES_MAX), reader.text(ID_BYTES_MAX)];
  return { type: 'tool-call', callId, name, arguments: reader.text(reader.remaining) };
}
