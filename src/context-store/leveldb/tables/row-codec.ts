import { crc32 } from 'node:zlib';
import { ByteReader, ByteWriter, MalformedBytes } from '../../../domain/bytes.ts';
import { HELD } from '../../held-elsewhere.ts';
import type { SessionRow } from '../../session-row.ts';

const MODES = [undefined, 'raw', 'tokenized'] as const;
/** Beside the bit that says whether the session is deleted. */
const HELD_BY = Object.values(HELD);
const CHECKSUM_BYTES = 4;

export function encodeRow(row: SessionRow): Uint8Array {
  const writer = new ByteWriter(64);
  writer.byte(MODES.indexOf(row.mode));
  writer.byte((row.heldElsewhere << 1) | (row.deleted ? 1 : 0));
  for (const value of [row.records, row.bytes, row.turns]) writer.varint(value);
  for (const value of [row.createdAtMs, row.updatedAtMs, row.expiresAtMs, row.lastUsedAtMs]) writer.varint(value);
  const checksum = Buffer.alloc(CHECKSUM_BYTES);
  checksum.writeUInt32LE(crc32(writer.view()));
  writer.raw(checksum);
  return new Uint8Array(writer.view());
}

/** `undefined` when the bytes are not what {@link encodeRow} wrote: LevelDB itself does not notice every flipped bit. */
export function decodeRow(bytes: Uint8Array): SessionRow | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const body = view.subarray(0, Math.max(0, view.length - CHECKSUM_BYTES));
  if (view.length < CHECKSUM_BYTES || view.readUInt32LE(body.length) !== crc32(body)) return undefined;
  try {
    const reader = new ByteReader(body);
    const [mode, flags] = [MODES[reader.byte()], reader.byte()];
    return {
      mode,
      deleted: (flags & 1) === 1,
      heldElsewhere: HELD_BY[flags >> 1] ?? HELD.byItsWriter,
      records: reader.varint(),
      bytes: reader.varint(),
      turns: reader.varint(),
      createdAtMs: reader.varint(),
      updatedAtMs: reader.varint(),
      expiresAtMs: reader.varint(),
      lastUsedAtMs: reader.varint(),
    };
  } catch (error) {
    if (error instanceof MalformedBytes) return undefined;
    throw error;
  }
}
