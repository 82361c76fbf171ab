import { CorruptRecord, openRecord, type SealedRecord } from '../../../domain/record/record-codec.ts';
import { NewerRecord } from '../../../domain/record/record-version.ts';
import { type LogEntry, logText, type OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import { type DeltaParent, deltaBytes } from './delta-record.ts';

/**
 * An own record as it is published: as a delta against its parent where that is an earlier record of the same log, which
 * every reader of the log has got before. `undefined` when the record is gone.
 */
export function bytesToPublish(replica: ReplicaStore, log: OriginLog, entry: LogEntry): Uint8Array | undefined {
  const bytes = replica.recordBytes(entry);
  if (bytes === undefined) return undefined;
  const sealed = soundRecord(bytes);
  // Damaged bytes are sent as they are: the peers refuse and count them. So are newer ones, which peers may read.
  if (sealed === undefined) return bytes;
  return deltaBytes(sealed, parentOf(replica, log, { entry, sealed }));
}

/** A log's record at a sequence, as far as it is here, sound and of a version that this build reads. */
export function recordAt(replica: ReplicaStore, log: OriginLog, sequence: number): SealedRecord | undefined {
  if (sequence < 1) return undefined;
  const entry = replica.logEntry(log, sequence);
  const bytes = entry && replica.recordBytes(entry);
  return bytes === undefined ? undefined : soundRecord(bytes);
}

function parentOf(
  replica: ReplicaStore,
  log: OriginLog,
  { entry, sealed: { record } }: { entry: LogEntry; sealed: SealedRecord },
): DeltaParent | undefined {
  if (record.kind !== 'turn' || record.parent === undefined) return undefined;
  const position = replica.positionOf(record.parent, log.keygroup);
  if (position === undefined || logText(position.log) !== logText(log) || position.sequence >= entry.sequence)
    return undefined;
  const sealed = recordAt(replica, log, position.sequence);
  return sealed && { distance: entry.sequence - position.sequence, sealed };
}

function soundRecord(bytes: Uint8Array): SealedRecord | undefined {
  try {
    return openRecord(bytes);
  } catch (error) {
    if (error instanceof CorruptRecord || error instanceof NewerRecord) return undefined;
    throw error;
  }
}
