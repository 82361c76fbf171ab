// FReD takes text: every byte string must come out as it went in, in characters that pass it unchanged, and never empty.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { packBytes, packedLength, unpackBytes } from '../../../../src/context-store/fred/seven-bit.ts';

test('bytes come out as they went in, as ASCII of the length that is told before', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const text = packBytes(bytes);
      expect(text).toHaveLength(packedLength(bytes.length));
      expect([...text].every((character) => character.charCodeAt(0) < 128)).toBe(true);
      expect(Buffer.from(unpackBytes(text) as Uint8Array)).toEqual(Buffer.from(bytes));
    }),
  );
});

test('no bytes pack to what stands for a deleted record', () => {
  for (let byte = 0; byte < 256; byte++) expect(packBytes(Uint8Array.of(byte))).toHaveLength(2);
});

test.each(['0', 'é', '\u0000\u0001', '0'.repeat(9)])('%j is no bytes', (text) => {
  expect(unpackBytes(text)).toBeUndefined();
});
