// Verdicts as peers send them: what is encoded is read again, and nothing else is taken for one.
import { describe, expect, test } from 'vitest';
import {
  type CarriedVerdict,
  decodeVerdict,
  encodeVerdict,
} from '../../../src/context-store/replication/peers/turn-verdict.ts';
import type { TurnVerdict } from '../../../src/context-store/turn-arbitration.ts';
import { MalformedBytes } from '../../../src/domain/bytes.ts';
import type { ContextId, Incarnation, NodeId } from '../../../src/domain/identifiers.ts';
import { KEYGROUP } from '../../../tools/turn-records.ts';

const log = { origin: 'e1' as NodeId, incarnation: '0000000a' as Incarnation, keygroup: KEYGROUP };
const page = { entries: [{ log, sequence: 7, turn: 2, hash: 'ab'.repeat(16) as ContextId }], more: true };
const verdicts: TurnVerdict[] = [
  { kind: 'go', isSure: true },
  { kind: 'go', isSure: false },
  { kind: 'go', isSure: false, lapsed: 'e2' as NodeId },
  { kind: 'running', at: 'e2' as NodeId },
  { kind: 'answered' },
];

describe('a verdict', () => {
  test.each(verdicts)('$kind is read as it was said', (verdict) => {
    const carried: CarriedVerdict = { verdict, page };
    expect(decodeVerdict(encodeVerdict(carried), KEYGROUP)).toEqual(carried);
  });

  test('cut short or of another kind it is none', () => {
    const whole = encodeVerdict({ verdict: { kind: 'running', at: 'e2' as NodeId }, page });
    for (let length = 0; length < whole.length; length++)
      expect(() => decodeVerdict(whole.subarray(0, length), KEYGROUP)).toThrow(MalformedBytes);
    expect(() => decodeVerdict(Uint8Array.of(9, ...whole.subarray(1)), KEYGROUP)).toThrow(MalformedBytes);
  });
});
