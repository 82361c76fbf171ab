// What a downgraded node finds in its own log: records that an upgraded build wrote there.
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import type { LogEntry } from '../../../src/context-store/leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../../src/context-store/leveldb/replica.ts';
import { bytesToPublish, recordAt } from '../../../src/context-store/replication/delta/delta-log.ts';
import { openRecord } from '../../../src/domain/record/record-codec.ts';
import { NewerRecord, RECORD_FORMAT_VERSION } from '../../../src/domain/record/record-version.ts';
import { sealedTurn } from '../../../tools/turn-records.ts';

test('an own record of a newer version is published as it is, and is no parent', () => {
  const sealed = sealedTurn();
  const bytes = newer(sealed.bytes);
  expect(() => openRecord(bytes)).toThrow(NewerRecord);
  const entry = { sequence: 1, hash: sealed.hash } as LogEntry;
  const replica = { logEntry: () => entry, recordBytes: () => bytes } as unknown as ReplicaStore;
  const { origin, incarnation, keygroup } = sealed.record;
  const log = { origin, incarnation, keygroup };
  expect(bytesToPublish(replica, log, entry)).toBe(bytes);
  expect(recordAt(replica, log, 1)).toBeUndefined();
});

/** Version first, checksum last. */
function newer(bytes: Uint8Array): Uint8Array {
  const canonical = Buffer.concat([Buffer.of(RECORD_FORMAT_VERSION + 1), bytes.subarray(1, -4)]);
  const digest = createHash('sha256').update(canonical).digest();
  return Buffer.concat([canonical, digest.subarray(16, 20)]);
}
