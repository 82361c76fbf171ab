// What a node reads of others that hold a certificate of FReD's authority and may write anything.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeEnvelope, encodeEnvelope } from '../../../../src/context-store/fred/peers/envelope.ts';
import { decodeMember, encodeMember } from '../../../../src/context-store/fred/peers/members.ts';
import { packBytes } from '../../../../src/context-store/fred/seven-bit.ts';
import type { NodeId } from '../../../../src/domain/identifiers.ts';

const member = { nodeId: 'e1' as NodeId, fredNode: 'nodeA', box: `dceb${'0'.repeat(16)}`, atMs: 1 };

test('an envelope comes out as it went in, and anything else is none', () => {
  const envelope = { kind: 'question', from: 'e1' as NodeId, number: 7, data: Uint8Array.of(1, 2, 255) } as const;
  const read = decodeEnvelope(encodeEnvelope(envelope));
  expect(read && { ...read, data: [...read.data] }).toEqual({ ...envelope, data: [1, 2, 255] });
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => void decodeEnvelope(packBytes(bytes))));
  fc.assert(fc.property(fc.string(), (text) => void decodeEnvelope(text)));
  expect(decodeEnvelope('1')).toBeUndefined();
});

test('a member comes out as it went in, without what is not known', () => {
  expect(decodeMember(encodeMember({ ...member, more: 1 } as never))).toEqual(member);
});

test.each([
  '1',
  '{}',
  '[',
  JSON.stringify({ ...member, box: 'dcer0011223344556677' }),
  JSON.stringify({ ...member, nodeId: '../x' }),
  JSON.stringify({ ...member, atMs: 'now' }),
])('%s is no member', (value) => {
  expect(decodeMember(value)).toBeUndefined();
});
