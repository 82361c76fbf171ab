import { conversationExtension } from '../../src/domain/record/conversation-digest.ts';
import { type SealedRecord, sealRecord } from '../../src/domain/record/record-codec.ts';
import type { TurnRecord } from '../../src/domain/record/turn-record.ts';
import { sealedLine, sealedTombstone, structured, structuredRaw, turnRecord } from '../../tools/turn-records.ts';

/** One of each kind, and with each field that a record may have. */
export function someRecords(): readonly SealedRecord[] {
  const [first, second] = sealedLine(2) as [SealedRecord, SealedRecord];
  const preamble = { instructions: undefined, tools: [{ name: 'weather', parameters: { type: 'object' } }] };
  const items: TurnRecord = {
    ...turnRecord({ parent: first }),
    payload: { mode: 'items', messages: [{ role: 'user', content: 'Hello.' }] },
  };
  const stopped: TurnRecord = {
    ...turnRecord(),
    preamble,
    stop: { kind: 'word', word: 'END' },
    extensions: conversationExtension({ asked: 'ab'.repeat(8) as never, answered: [] }),
  };
  return [
    ...[first, second, sealRecord(structured(second)), sealRecord(structuredRaw()), sealRecord(items)],
    ...[sealRecord(stopped), sealedTombstone()],
  ];
}
