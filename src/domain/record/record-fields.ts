import { type ByteReader, type ByteWriter, MalformedBytes, pick } from '../bytes.ts';
import { readContent, writeContent } from './content-codec.ts';
import type { MessageContent } from './message-content.ts';
import type {
  ItemsPayload,
  Message,
  MessageSpan,
  RawPayload,
  Role,
  SamplingSummary,
  StopReason,
  TokenizedPayload,
} from './turn-record.ts';

/*
 * Parts of a record that look the same in its canonical bytes and on the wire. What is changed here changes the hash of
 * every record.
 */

/** Of a record's hash, which is its context id. */
export const HASH_BYTES = 16;
export const KEYGROUP_BYTES = 8;
/** Of the digest of the request that was answered. */
export const DIGEST_BYTES = 8;
/** After the canonical bytes: what follows the hash in the digest of all before. */
export const CHECKSUM_BYTES = 4;

const ROLES: readonly Role[] = ['system', 'user', 'assistant', 'tool', 'developer'];
const STOPS = ['end', 'limit', 'word'] as const;

/** What of a prompt segment is message and what is template. */
export type Frame = Pick<TokenizedPayload, 'leadLength' | 'spans'>;

export function writeFrame({ leadLength, spans }: Frame, writer: ByteWriter): void {
  writer.varint(leadLength);
  writer.varint(spans.length);
  for (const span of spans) {
    writer.byte(ROLES.indexOf(span.role));
    writer.varint(span.start);
    writer.varint(span.length);
  }
}

export function readFrame(reader: ByteReader): Frame {
  const leadLength = reader.varint();
  const spans: MessageSpan[] = [];
  for (let left = reader.varint(reader.remaining); left > 0; left--) {
    spans.push({ role: pick(ROLES, reader.byte(), 'role'), start: reader.varint(), length: reader.varint() });
  }
  return { leadLength, spans };
}

/** In version 1 contents are plain text. */
export function writeRaw(payload: RawPayload, version: number, writer: ByteWriter): void {
  const write = version === 1 ? writePlain : writeContent;
  writeMessages(payload.messages, write, writer);
  write(payload.reply, writer);
}

export function writeItems({ messages }: ItemsPayload, writer: ByteWriter): void {
  writeMessages(messages, writeContent, writer);
}

function writeMessages(
  messages: readonly Message[],
  write: (content: MessageContent, writer: ByteWriter) => void,
  writer: ByteWriter,
): void {
  writer.varint(messages.length);
  for (const { role, content } of messages) {
    writer.byte(ROLES.indexOf(role));
    write(content, writer);
  }
}

export function readRaw(reader: ByteReader, version: number): RawPayload {
  const read = version === 1 ? (from: ByteReader) => from.text(from.remaining) : readContent;
  return { mode: 'raw', messages: readMessages(reader, read), reply: read(reader) };
}

export function readItems(reader: ByteReader): ItemsPayload {
  return { mode: 'items', messages: readMessages(reader, readContent) };
}

function readMessages(reader: ByteReader, read: (reader: ByteReader) => MessageContent): Message[] {
  const messages: Message[] = [];
  for (let left = reader.varint(reader.remaining); left > 0; left--) {
    messages.push({ role: pick(ROLES, reader.byte(), 'role'), content: read(reader) });
  }
  return messages;
}

function writePlain(content: MessageContent, writer: ByteWriter): void {
  if (typeof content !== 'string') throw new TypeError('version 1 of the record holds plain text only');
  writer.text(content);
}

export function writeStop(stop: StopReason, writer: ByteWriter): void {
  writer.byte(STOPS.indexOf(stop.kind));
  if (stop.kind === 'word') writer.text(stop.word);
}

export function readStop(reader: ByteReader): StopReason {
  const kind = pick(STOPS, reader.byte(), 'stop reason');
  return kind === 'word' ? { kind, word: reader.text(reader.remaining) } : { kind };
}

export function writeSampling(sampling: SamplingSummary, writer: ByteWriter): void {
  const { temperature, seed, maxTokens } = sampling;
  writer.byte((temperature === undefined ? 0 : 1) | (seed === undefined ? 0 : 2) | (maxTokens === undefined ? 0 : 4));
  if (temperature !== undefined) writer.double(temperature);
  if (seed !== undefined) writer.double(seed);
  if (maxTokens !== undefined) writer.varint(maxTokens);
}

export function readSampling(reader: ByteReader): SamplingSummary {
  const flags = reader.byte();
  if (flags > 7) throw new MalformedBytes('unknown sampling flags');
  return {
    temperature: (flags & 1) === 0 ? undefined : reader.double(),
    seed: (flags & 2) === 0 ? undefined : reader.double(),
    maxTokens: (flags & 4) === 0 ? undefined : reader.varint(),
  };
}
