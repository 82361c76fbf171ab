import { ByteReader, ByteWriter, MalformedBytes } from '../../../domain/bytes.ts';
import type { Incarnation, KeygroupId, NodeId, RequestDigest, TurnNumber } from '../../../domain/identifiers.ts';
import { readMarks, writeMarks } from '../../../domain/record/content-codec.ts';
import { readExtensions, writeExtensions } from '../../../domain/record/extensions.ts';
import { readPreamble, writePreamble } from '../../../domain/record/preamble.ts';
import { openRecord, type SealedRecord, sealRecord } from '../../../domain/record/record-codec.ts';
import {
  CHECKSUM_BYTES,
  DIGEST_BYTES,
  HASH_BYTES,
  readFrame,
  readRaw,
  readSampling,
  readStop,
  writeFrame,
  writeRaw,
  writeSampling,
  writeStop,
} from '../../../domain/record/record-fields.ts';
import { formatVersionOf, RECORD_FORMAT_VERSION } from '../../../domain/record/record-version.ts';
import type {
  SamplingSummary,
  SessionRecord,
  TokenizedPayload,
  TurnRecord,
} from '../../../domain/record/turn-record.ts';
import { placeAfter, readPlace, readSession, SHAPE, sessionShape, writeSession } from './delta-place.ts';
import { type ExpectedTurn, expectedAfter, frameAfter, idsOf, NO_TURN, SAME, samenessOf } from './expected-turn.ts';
import { compressIds, decompressIds, IDS_PER_BYTE_MAX } from './token-compression.ts';

/*
 * The form in which a record travels in its origin's stream: without what the stream's name says, without what its parent
 * says where that is an earlier record of the same log, and with its ids compressed. It is made from the canonical bytes
 * and gives them back exactly; the hash is checked over those. A record that has no delta travels as it is.
 */

/** Set in a delta's first byte, beside the record's version; canonical bytes begin with the version alone. */
const DELTA_FORM = 0x80;

/** Of one record. Longer ones travel as they are: what a node must do for a message stays below some 100 ms. */
const IDS_MAX = 65_536;

/** What a stream's name says of every record in it. */
export interface DeltaLog {
  readonly keygroup: KeygroupId;
  readonly origin: NodeId;
  readonly incarnation: Incarnation;
}

/** The parent as an earlier record of the same log: so many records before. */
export interface DeltaParent {
  readonly distance: number;
  readonly sealed: SealedRecord;
}

/** A delta that cannot be read here: its parent is missing or another, or it is damaged. The record must be fetched whole. */
export class DeltaUnreadable extends Error {
  override readonly name = 'DeltaUnreadable';
}

/**
 * The bytes to send: the delta, or the record's own where there is none or it is no shorter. `parent` is ignored when it
 * is another record's.
 */
export function deltaBytes({ record, bytes }: SealedRecord, parent?: DeltaParent): Uint8Array {
  if (record.expiresAtMs < record.writtenAtMs) return bytes;
  const checksum = bytes.subarray(bytes.length - CHECKSUM_BYTES);
  const delta =
    record.kind === 'turn'
      ? deltaTurn(record, checksum, isParent(parent, record) ? parent : undefined)
      : deltaTombstone(record, checksum);
  return delta === undefined || delta.length >= bytes.length ? bytes : delta;
}

/**
 * Reverses {@link deltaBytes}; `turnAt` finds the log's record that came so many before. Throws {@link DeltaUnreadable}
 * for whatever is wrong with a delta, a newer version included; and for a record that came whole what
 * `openRecord` throws.
 */
export function openDelta(
  bytes: Uint8Array,
  log: DeltaLog,
  turnAt: (distance: number) => SealedRecord | undefined,
): SealedRecord {
  const first = bytes[0] ?? 0;
  if (first < DELTA_FORM) return openRecord(bytes);
  try {
    const reader = new ByteReader(bytes);
    const version = reader.byte() - DELTA_FORM;
    if (version < 1 || version > RECORD_FORMAT_VERSION) throw new MalformedBytes(`a delta of version ${version}`);
    const { record, checksum } = readRecord(reader, version, log, turnAt);
    const sealed = sealRecord(record);
    if (!checksum.equals(sealed.bytes.subarray(sealed.bytes.length - CHECKSUM_BYTES)))
      throw new MalformedBytes('checksum differs');
    return sealed;
  } catch (error) {
    if (!(error instanceof MalformedBytes || error instanceof RangeError)) throw error;
    throw new DeltaUnreadable(error.message, { cause: error });
  }
}

function isParent(parent: DeltaParent | undefined, turn: TurnRecord): boolean {
  if (parent === undefined || parent.sealed.hash !== turn.parent) return false;
  const { record } = parent.sealed;
  return (
    record.kind === 'turn' &&
    record.turn + 1 === turn.turn &&
    record.userId === turn.userId &&
    record.sessionId === turn.sessionId
  );
}

function deltaTombstone(record: SessionRecord, checksum: Uint8Array): Uint8Array {
  const writer = new ByteWriter();
  const version = formatVersionOf(record);
  writer.byte(DELTA_FORM + version);
  writer.byte(SHAPE.tombstone | sessionShape(record));
  writeSession(record, writer);
  writer.varint(record.writtenAtMs);
  writer.varint(record.expiresAtMs - record.writtenAtMs);
  writer.raw(checksum);
  if (version > 1) writeExtensions(record.extensions, writer);
  return writer.view();
}

/** `undefined` when it holds more ids than a delta record may, or none: messages alone travel as they are. */
function deltaTurn(turn: TurnRecord, checksum: Uint8Array, parent: DeltaParent | undefined): Uint8Array | undefined {
  const { payload } = turn;
  if (payload.mode === 'items') return undefined;
  const ids = idsOf(payload);
  if (ids.length > IDS_MAX) return undefined;
  const before = parent?.sealed.record.kind === 'turn' ? parent.sealed.record : undefined;
  const expected = before === undefined ? NO_TURN : expectedAfter(before);
  const sameness = samenessOf(turn, expected);
  const writer = new ByteWriter();
  const version = formatVersionOf(turn);
  writer.byte(DELTA_FORM + version);
  writer.byte(
    (before === undefined ? sessionShape(turn) : SHAPE.afterParent) |
      (payload.mode === 'raw'
        ? SHAPE.raw
        : (payload.exact ? 0 : SHAPE.inexact) | (payload.replyText === undefined ? 0 : SHAPE.replyText)),
  );
  writer.byte(sameness);
  if (before === undefined || parent === undefined) {
    writeSession(turn, writer);
    writer.varint(turn.turn);
    if (turn.parent !== undefined) writer.hex(turn.parent, HASH_BYTES);
  } else writer.varint(parent.distance);
  writer.varint(Math.abs(turn.writtenAtMs - expected.writtenAtMs));
  writer.hex(turn.requestDigest, DIGEST_BYTES);
  if ((sameness & SAME.lifetime) === 0) writer.varint(turn.expiresAtMs - turn.writtenAtMs);
  if ((sameness & SAME.stop) === 0) writeStop(turn.stop, writer);
  if ((sameness & SAME.sampling) === 0) writeSampling(turn.sampling, writer);
  if ((sameness & SAME.contextStart) === 0) writer.varint(turn.contextStart);
  writer.raw(checksum);
  if (version > 1) writeExtensions(turn.extensions, writer);
  if (version > 2) writePreamble(turn.preamble, writer);
  if (payload.mode === 'raw') {
    writeRaw(payload, version, writer);
    return writer.view();
  }
  if (version > 1) writeMarks(payload.marks ?? [], writer);
  if ((sameness & SAME.frame) === 0) writeFrame(payload, writer);
  if (payload.replyText !== undefined) writer.text(payload.replyText);
  writer.varint(payload.promptIds.length);
  if ((sameness & SAME.replyLength) === 0) writer.varint(payload.replyIds.length);
  const compressed = compressIds(ids, idsOf(expected.payload));
  if (ids.length > compressed.length * IDS_PER_BYTE_MAX) return undefined;
  writer.raw(compressed);
  return writer.view();
}

function readRecord(
  reader: ByteReader,
  version: number,
  log: DeltaLog,
  turnAt: (distance: number) => SealedRecord | undefined,
): { record: SessionRecord; checksum: Buffer } {
  const shape = reader.byte();
  if ((shape & SHAPE.tombstone) !== 0) {
    const session = readSession(reader, shape);
    const writtenAtMs = reader.varint();
    const expiresAtMs = writtenAtMs + reader.varint();
    const checksum = reader.raw(CHECKSUM_BYTES);
    const extensions = version > 1 && readExtensions(reader);
    if (reader.remaining > 0) throw new MalformedBytes(`${reader.remaining} bytes left over`);
    return { record: { kind: 'tombstone', ...log, ...session, writtenAtMs, expiresAtMs, ...extensions }, checksum };
  }
  const sameness = reader.byte();
  const same = (bit: number) => (sameness & bit) !== 0;
  const { session, turn, parent, expected } =
    (shape & SHAPE.afterParent) === 0 ? readPlace(reader, shape) : placeAfter(turnAt(reader.varint()));
  const elapsedMs = reader.varint();
  const writtenAtMs = expected.writtenAtMs + (same(SAME.clock) ? elapsedMs : -elapsedMs);
  const requestDigest = reader.hex(DIGEST_BYTES) as RequestDigest;
  const expiresAtMs = writtenAtMs + (same(SAME.lifetime) ? expected.lifetimeMs : reader.varint());
  const stop = same(SAME.stop) ? expected.stop : readStop(reader);
  const sampling = same(SAME.sampling) ? expected.sampling : readSampling(reader);
  const contextStart = (same(SAME.contextStart) ? expected.contextStart : reader.varint()) as TurnNumber;
  const checksum = reader.raw(CHECKSUM_BYTES);
  const extensions = version > 1 && readExtensions(reader);
  const preamble = version > 2 && readPreamble(reader);
  const payload =
    (shape & SHAPE.raw) !== 0
      ? readRaw(reader, version)
      : readTokenized(reader, { version, shape, same, expected, sampling });
  if (reader.remaining > 0) throw new MalformedBytes(`${reader.remaining} bytes left over`);
  const record: TurnRecord = {
    kind: 'turn',
    ...log,
    ...session,
    writtenAtMs,
    expiresAtMs,
    ...extensions,
    turn,
    parent,
    requestDigest,
    contextStart,
    stop,
    sampling,
    ...preamble,
    payload,
  };
  return { record, checksum };
}

/** What of a record stands before its tokenized payload and says how to read it. */
interface TokenizedContext {
  readonly version: number;
  readonly shape: number;
  readonly same: (bit: number) => boolean;
  readonly expected: ExpectedTurn;
  readonly sampling: SamplingSummary;
}

function readTokenized(
  reader: ByteReader,
  { version, shape, same, expected, sampling }: TokenizedContext,
): TokenizedPayload {
  const marks = version > 1 && readMarks(reader);
  const frame = same(SAME.frame) ? undefined : readFrame(reader);
  const replyText = (shape & SHAPE.replyText) === 0 ? undefined : reader.text(reader.remaining);
  const promptLength = reader.varint(IDS_MAX);
  const replyLength = same(SAME.replyLength) ? (sampling.maxTokens ?? 0) : reader.varint(IDS_MAX);
  if (promptLength + replyLength > IDS_MAX) throw new MalformedBytes('too many ids');
  const ids = decompressIds(reader.raw(reader.remaining), promptLength + replyLength, idsOf(expected.payload));
  return {
    mode: 'tokenized',
    promptIds: ids.slice(0, promptLength),
    replyIds: ids.slice(promptLength),
    exact: (shape & SHAPE.inexact) === 0,
    ...(frame ?? frameAfter(expected.payload, promptLength)),
    replyText,
    ...marks,
  };
}
