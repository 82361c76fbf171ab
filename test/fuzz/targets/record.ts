import { createHash } from 'node:crypto';
import { CorruptRecord, openRecord, sealRecord } from '../../../src/domain/record/record-codec.ts';
import { CHECKSUM_BYTES, HASH_BYTES } from '../../../src/domain/record/record-fields.ts';
import { NewerRecord } from '../../../src/domain/record/record-version.ts';
import { type OpenTarget, refusedOr } from '../fuzz-target.ts';
import { someRecords } from '../some-records.ts';

/** Records as peers and disks give them. What opens has one form: sealed again it is the same bytes. */
export const open: OpenTarget = () => ({
  seeds: someRecords().map(({ bytes }) => bytes),
  check(input) {
    // The end is a checksum, which chance does not meet.
    for (const bytes of [input, withChecksum(input)]) {
      const opened = refusedOr(() => openRecord(bytes), CorruptRecord, NewerRecord);
      if (opened !== undefined && !bytes.equals(sealRecord(opened.record).bytes))
        throw new Error('two forms of one record');
    }
  },
});

function withChecksum(input: Buffer): Buffer {
  const canonical = input.subarray(0, Math.max(0, input.length - CHECKSUM_BYTES));
  const digest = createHash('sha256').update(canonical).digest();
  return Buffer.concat([canonical, digest.subarray(HASH_BYTES, HASH_BYTES + CHECKSUM_BYTES)]);
}
