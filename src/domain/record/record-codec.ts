import { hash as digestOf } from 'node:crypto';
import { ByteReader, ByteWriter, MalformedBytes, pick } from '../bytes.ts';
import {
  type ContextId,
  ID_BYTES_MAX,
  type Incarnation,
  isId,
  isNodeId,
  type KeygroupId,
  type NodeId,
  type RequestDigest,
  type SessionId,
  TURN_MAX,
  type TurnNumber,
  type UserId,
} from '../identifiers.ts';
import { readMarks, writeMarks } from './content-codec.ts';
import { extensionsFault, readExtensions, writeExtensions } from './extensions.ts';
import { contentFault, marksFault } from './message-content.ts';
import { readPreamble, toolsFault, writePreamble } from './preamble.ts';
import {
  CHECKSUM_BYTES,
  DIGEST_BYTES,
  HASH_BYTES,
  KEYGROUP_BYTES,
  readFrame,
  readItems,
  readRaw,
  readSampling,
  readStop,
  writeFrame,
  writeItems,
  writeRaw,
  writeSampling,
  writeStop,
} from './record-fields.ts';
import { formatVersionOf, NewerRecord, RECORD_FORMAT_VERSION } from './record-version.ts';
import { CURRENT_TOKEN_CODEC, tokenCodecById } from './token-codec.ts';
import type { ItemsPayload, RawPayload, SessionRecord, TokenizedPayload, TurnRecord } from './turn-record.ts';

/** Largest record a node writes or accepts: bounds what one peer or one damaged page can make us allocate. */
export const RECORD_BYTES_MAX = 8 * 1024 * 1024;

const INCARNATION_BYTES = 4;

/** A record with its canonical bytes and the hash that names it. Equal records have equal bytes. */
export interface SealedRecord {
  readonly record: SessionRecord;
  /** Canonical bytes followed by a four-byte checksum. */
  readonly bytes: Uint8Array;
  readonly hash: ContextId;
}

/** The bytes are not a record this version can serve. Counted by stores, never shown to a model. */
export class CorruptRecord extends Error {
  constructor(reason: string, cause?: unknown) {
    super(`corrupt record: ${reason}`, cause === undefined ? undefined : { cause });
    this.name = 'CorruptRecord';
  }
}

/** Above, a first byte is that of a shorter form in which records travel, and of no version. */
const VERSIONS_END = 0x80;

const KINDS = ['turn', 'tombstone'] as const;
const MODES = ['raw', 'tokenized', 'items'] as const;

/**
 * Encodes and names a record. Throws RangeError when it would exceed {@link RECORD_BYTES_MAX} or could not be opened
 * again: a turn that is acknowledged can be read.
 */
export function sealRecord(record: SessionRecord): SealedRecord {
  const writer = written(record);
  const digest = digestOf('sha256', writer.view(), 'buffer');
  writer.raw(digest.subarray(HASH_BYTES, HASH_BYTES + CHECKSUM_BYTES));
  const bytes = new Uint8Array(writer.view());
  if (bytes.length > RECORD_BYTES_MAX)
    throw new RangeError(`record of ${bytes.length} bytes exceeds ${RECORD_BYTES_MAX}`);
  return { record, bytes, hash: digest.toString('hex', 0, HASH_BYTES) as ContextId };
}

/** How many bytes a record has once it is sealed. Throws RangeError for what no record may say. */
export function sealedLength(record: SessionRecord): number {
  return written(record).view().length + CHECKSUM_BYTES;
}

/** Its canonical bytes. Throws RangeError for what no record may say. */
function written(record: SessionRecord): ByteWriter {
  const fault = faultOf(record);
  if (fault !== undefined) throw new RangeError(fault);
  const writer = new ByteWriter();
  const version = formatVersionOf(record);
  writer.byte(version);
  writer.byte(KINDS.indexOf(record.kind));
  writer.hex(record.keygroup, KEYGROUP_BYTES);
  writer.text(record.userId);
  writer.text(record.sessionId);
  writer.text(record.origin);
  writer.hex(record.incarnation, INCARNATION_BYTES);
  writer.varint(record.writtenAtMs);
  writer.varint(record.expiresAtMs);
  if (version > 1) writeExtensions(record.extensions, writer);
  if (record.kind === 'turn') {
    writer.varint(record.turn);
    if (record.parent !== undefined) writer.hex(record.parent, HASH_BYTES);
    writer.hex(record.requestDigest, DIGEST_BYTES);
    writer.varint(record.contextStart);
    writeStop(record.stop, writer);
    writeSampling(record.sampling, writer);
    if (version > 2) writePreamble(record.preamble, writer);
    writer.byte(MODES.indexOf(record.payload.mode));
    writePayload(record.payload, version, writer);
  }
  return writer;
}

/**
 * Decodes and verifies; `expectedHash` is the name it was stored under. Throws {@link CorruptRecord}, and
 * {@link NewerRecord} for what is whole and of a version that this build does not read: version first, checksum last, and
 * what they are of, are the same in all versions.
 */
export function openRecord(bytes: Uint8Array, expectedHash?: ContextId): SealedRecord {
  if (bytes.length < CHECKSUM_BYTES || bytes.length > RECORD_BYTES_MAX)
    throw new CorruptRecord(`${bytes.length} bytes long`);
  const canonical = bytes.subarray(0, bytes.length - CHECKSUM_BYTES);
  const digest = digestOf('sha256', canonical, 'buffer');
  const checksum = digest.subarray(HASH_BYTES, HASH_BYTES + CHECKSUM_BYTES);
  if (!checksum.equals(bytes.subarray(canonical.length))) throw new CorruptRecord('checksum differs');
  const hash = digest.toString('hex', 0, HASH_BYTES) as ContextId;
  if (expectedHash !== undefined && hash !== expectedHash) throw new CorruptRecord('stored under another hash');
  const version = canonical[0] ?? 0;
  if (version > RECORD_FORMAT_VERSION && version < VERSIONS_END) throw new NewerRecord(version);
  try {
    const reader = new ByteReader(canonical);
    const record = readRecord(reader);
    if (reader.remaining > 0) throw new MalformedBytes(`${reader.remaining} bytes left over`);
    const fault = faultOf(record);
    if (fault !== undefined) throw new MalformedBytes(fault);
    if (version !== formatVersionOf(record)) throw new MalformedBytes(`version ${version} for what an older one says`);
    return { record, bytes, hash };
  } catch (error) {
    if (error instanceof MalformedBytes) throw new CorruptRecord(error.message, error);
    throw error;
  }
}

/** What no record may say, on its way in or out. A peer's ids become keys and log lines here, like a client's. */
function faultOf(record: SessionRecord): string | undefined {
  if (!isId(record.userId) || !isId(record.sessionId) || !isNodeId(record.origin)) return 'a malformed id';
  const extensions = record.extensions && extensionsFault(record.extensions);
  if (extensions !== undefined || record.kind === 'tombstone') return extensions;
  const { turn, parent, contextStart, preamble, payload } = record;
  if (!(turn >= 1 && turn <= TURN_MAX)) return 'a turn out of range';
  if ((turn === 1) !== (parent === undefined)) return 'turn 1 alone has no parent';
  if (!(contextStart >= 1 && contextStart <= turn)) return 'a context that starts outside the session';
  if (!MODES.includes(payload.mode)) return 'a mode that keeps nothing';
  const before = preamble && toolsFault(preamble.tools);
  if (before !== undefined) return before;
  return payload.mode === 'tokenized' ? tokenizedFault(payload) : messagesFault(payload);
}

function messagesFault(payload: RawPayload | ItemsPayload): string | undefined {
  const contents = payload.messages.map(({ content }) => content);
  for (const content of payload.mode === 'raw' ? [...contents, payload.reply] : contents) {
    const fault = contentFault(content);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function tokenizedFault({ promptIds, replyIds, leadLength, spans, marks }: TokenizedPayload): string | undefined {
  if (leadLength > promptIds.length) return 'a lead longer than the prompt';
  if (spans.some((span) => span.start + span.length > promptIds.length)) return 'a span outside the prompt';
  return marks && marksFault(marks, { prompt: promptIds.length, reply: replyIds.length });
}

function readRecord(reader: ByteReader): SessionRecord {
  const version = reader.byte();
  if (version < 1 || version > RECORD_FORMAT_VERSION) throw new MalformedBytes(`format version ${version}`);
  const kind = pick(KINDS, reader.byte(), 'kind');
  const header = {
    keygroup: reader.hex(KEYGROUP_BYTES) as KeygroupId,
    userId: reader.text(ID_BYTES_MAX) as UserId,
    sessionId: reader.text(ID_BYTES_MAX) as SessionId,
    origin: reader.text(ID_BYTES_MAX) as NodeId,
    incarnation: reader.hex(INCARNATION_BYTES) as Incarnation,
    writtenAtMs: reader.varint(),
    expiresAtMs: reader.varint(),
    ...(version > 1 && readExtensions(reader)),
  };
  if (kind === 'tombstone') return { kind, ...header };
  const turn = reader.varint(TURN_MAX) as TurnNumber;
  const parent = turn === 1 ? undefined : (reader.hex(HASH_BYTES) as ContextId);
  const requestDigest = reader.hex(DIGEST_BYTES) as RequestDigest;
  const contextStart = reader.varint(turn) as TurnNumber;
  const stop = readStop(reader);
  const sampling = readSampling(reader);
  const preamble = version > 2 ? readPreamble(reader) : {};
  const mode = pick(MODES, reader.byte(), 'mode');
  const payload = readPayload(mode, reader, version);
  return { kind, ...header, turn, parent, requestDigest, contextStart, stop, sampling, ...preamble, payload };
}

/** The part of a record that is its mode's. */
export function writePayload(payload: TurnRecord['payload'], version: number, writer: ByteWriter): void {
  switch (payload.mode) {
    case 'raw':
      writeRaw(payload, version, writer);
      break;
    case 'tokenized':
      writeTokenized(payload, version, writer);
      break;
    case 'items':
      writeItems(payload, writer);
      break;
    default:
      payload satisfies never;
  }
}

export function readPayload(mode: (typeof MODES)[number], reader: ByteReader, version: number): TurnRecord['payload'] {
  switch (mode) {
    case 'raw':
      return readRaw(reader, version);
    case 'tokenized':
      return readTokenized(reader, version);
    case 'items':
      return readItems(reader);
    default:
      return mode satisfies never;
  }
}

function writeTokenized(payload: TokenizedPayload, version: number, writer: ByteWriter): void {
  writer.byte(CURRENT_TOKEN_CODEC.id);
  writer.byte((payload.exact ? 1 : 0) | (payload.replyText === undefined ? 0 : 2));
  writeFrame(payload, writer);
  for (const ids of [payload.promptIds, payload.replyIds]) {
    writer.varint(ids.length);
    CURRENT_TOKEN_CODEC.write(ids, writer);
  }
  if (payload.replyText !== undefined) writer.text(payload.replyText);
  if (version > 1) writeMarks(payload.marks ?? [], writer);
}

function readTokenized(reader: ByteReader, version: number): TokenizedPayload {
  const codec = tokenCodecById(reader.byte());
  const flags = reader.byte();
  if (flags > 3) throw new MalformedBytes('unknown flags');
  const frame = readFrame(reader);
  const promptIds = codec.read(reader, reader.varint());
  const replyIds = codec.read(reader, reader.varint());
  const replyText = (flags & 2) === 0 ? undefined : reader.text(reader.remaining);
  const exact = (flags & 1) !== 0;
  const marks = version > 1 ? readMarks(reader) : {};
  return { mode: 'tokenized', promptIds, replyIds, exact, ...frame, replyText, ...marks };
}
