import { DeltaUnreadable, deltaBytes, openDelta } from '../../../src/context-store/replication/delta/delta-record.ts';
import { CorruptRecord, sealRecord } from '../../../src/domain/record/record-codec.ts';
import { NewerRecord } from '../../../src/domain/record/record-version.ts';
import { sealedLine, structured } from '../../../tools/turn-records.ts';
import { type OpenTarget, refusedOr } from '../fuzz-target.ts';
import { someRecords } from '../some-records.ts';

/** Records as they travel: short, after one that is known, and compressed. What opens is a record that can be sealed. */
export const open: OpenTarget = () => {
  const line = sealedLine(3, { replyTokens: 60 });
  const [parent] = line;
  if (parent === undefined) throw new Error('no record');
  const { keygroup, origin, incarnation } = parent.record;
  const turnAt = (distance: number) => line[distance - 1];
  return {
    seeds: [
      ...someRecords().map((sealed) => deltaBytes(sealed)),
      ...line.slice(1).map((sealed, place) => deltaBytes(sealed, { distance: 1, sealed: line[place] ?? parent })),
      deltaBytes(sealRecord(structured(line[1] ?? parent)), { distance: 1, sealed: parent }),
    ],
    check(input) {
      const read = () => openDelta(input, { keygroup, origin, incarnation }, turnAt);
      const opened = refusedOr(read, DeltaUnreadable, CorruptRecord, NewerRecord);
      if (opened !== undefined && sealRecord(opened.record).hash !== opened.hash) throw new Error('another record');
    },
  };
};
