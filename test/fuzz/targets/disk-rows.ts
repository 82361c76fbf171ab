import { crc32 } from 'node:zlib';
import { decodeRow, encodeRow } from '../../../src/context-store/leveldb/tables/row-codec.ts';
import type { OpenTarget } from '../fuzz-target.ts';

const CHECKSUM_BYTES = 4;

/** Rows of sessions as a damaged disk may give them, with the checksum that would let them through. */
export const open: OpenTarget = () => ({
  seeds: [
    encodeRow({
      ...{ mode: 'tokenized', deleted: false, records: 2, bytes: 300, turns: 2 },
      ...{ createdAtMs: 1, updatedAtMs: 2 ** 40, expiresAtMs: 2 ** 41, lastUsedAtMs: 3, heldElsewhere: 0 },
    }),
  ],
  check(input) {
    decodeRow(input);
    const body = input.subarray(0, Math.max(0, input.length - CHECKSUM_BYTES));
    const checksum = Buffer.alloc(CHECKSUM_BYTES);
    checksum.writeUInt32LE(crc32(body));
    const row = decodeRow(Buffer.concat([body, checksum]));
    if (row !== undefined) encodeRow(row);
  },
});
