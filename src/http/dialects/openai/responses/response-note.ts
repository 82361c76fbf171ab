import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { DiscedgeError } from '../../../../domain/errors.ts';
import { type AnswerId, answerIdExtension } from '../../../../domain/record/answer-id.ts';
import type { Extensions } from '../../../../domain/record/extensions.ts';
import type { TurnRecord } from '../../../../domain/record/turn-record.ts';
import { NOTE_BYTES_MAX } from '../metadata.ts';

/** What a record says of the response that it is, beside what every record says; so any node can show it. */
export interface ResponseNote {
  /** Seconds since 1970. */
  readonly createdAt: number;
  /** Fields of the request that are shown again, where they were sent. */
  readonly said: Readonly<Record<string, unknown>>;
  /** The answer that it goes on after, where it names one. */
  readonly after?: AnswerId;
  /** It is part of a conversation. */
  readonly inConversation?: true;
  /** Ids that the model read, and of them those that it had read before. */
  readonly inputTokens: number;
  readonly cachedTokens: number;
}

const NOTE = 'openai.response';
/** Shorter ones do not get shorter. */
const WORTH_COMPRESSING_BYTES = 128;
const INFLATED_BYTES_MAX = 1_048_576;

/** Throws `invalid_request` for metadata and a format that are together more than a record holds. */
export function responseExtensions(answerId: AnswerId, note: ResponseNote): Extensions {
  return new Map([...answerIdExtension(answerId), [NOTE, encodeNote(note)]]);
}

/** `undefined` for a turn that is no response of this API. */
export function responseNoteOf({ extensions }: Pick<TurnRecord, 'extensions'>): ResponseNote | undefined {
  const bytes = extensions?.get(NOTE);
  return bytes && (decodeNote(bytes) as ResponseNote | undefined);
}

export function encodeNote(note: object): Uint8Array {
  const plain = Buffer.from(JSON.stringify(note));
  const isLong = plain.length >= WORTH_COMPRESSING_BYTES;
  const bytes = Buffer.concat([Buffer.from([isLong ? 1 : 0]), isLong ? deflateRawSync(plain) : plain]);
  if (bytes.length <= NOTE_BYTES_MAX) return Uint8Array.from(bytes);
  throw new DiscedgeError(
    'invalid_request',
    `metadata and text.format are more together than the ${NOTE_BYTES_MAX} bytes, compressed, that are kept of them`,
    { param: 'metadata' },
  );
}

/** `undefined` for what cannot be read: written by another, or damaged. */
export function decodeNote(bytes: Uint8Array): object | undefined {
  try {
    const rest = bytes.subarray(1);
    const plain = bytes[0] === 1 ? inflateRawSync(rest, { maxOutputLength: INFLATED_BYTES_MAX }) : Buffer.from(rest);
    return JSON.parse(plain.toString('utf8')) as object;
  } catch {
    return undefined;
  }
}
