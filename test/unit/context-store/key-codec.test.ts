// Tries to make keys of the LevelDB store sort otherwise than their parts do, come back as others, or run into each other where
// one begins like another.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeKey, encodeKey, encodeKeyEnd } from '../../../src/context-store/leveldb/tables/key-codec.ts';
import { compareUtf8 } from '../../../src/domain/bytes.ts';

const TABLE = 'k'.charCodeAt(0);
const SHAPE = 'tnt';
type Key = [string, number, string];

const text = fc.string({
  unit: fc.constantFrom('a', 'b', '/', '\u00e9', '\u4e2d', '\u{1f916}', '\u{10ffff}'),
  maxLength: 6,
});
const number = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }));
const key = fc.tuple(text, number, text) as fc.Arbitrary<Key>;

const compare = (a: Uint8Array, b: Uint8Array) => Math.sign(Buffer.compare(a, b));

test('a key comes back as it was', () => {
  fc.assert(
    fc.property(key, (parts) => {
      expect(decodeKey(encodeKey(TABLE, parts), SHAPE)).toEqual(parts);
    }),
  );
});

test('keys sort as their parts do', () => {
  const inOrder = (a: Key, b: Key) =>
    Math.sign(compareUtf8(a[0], b[0]) || Math.sign(a[1] - b[1]) || compareUtf8(a[2], b[2]));
  fc.assert(
    fc.property(key, key, (a, b) => {
      expect(compare(encodeKey(TABLE, a), encodeKey(TABLE, b))).toBe(inOrder(a, b));
    }),
  );
});

test('the keys that begin with some parts lie between them and their end, and no others', () => {
  fc.assert(
    fc.property(key, key, fc.integer({ min: 0, max: 2 }), (a, b, length) => {
      const parts = a.slice(0, length);
      const bytes = encodeKey(TABLE, b);
      const isWithin = compare(encodeKey(TABLE, parts), bytes) <= 0 && compare(bytes, encodeKeyEnd(TABLE, parts)) < 0;
      expect(isWithin).toBe(parts.every((part, index) => part === b[index]));
    }),
  );
});

test('a key that was cut off is not taken for another', () => {
  const whole = encodeKey(TABLE, ['session', 7, 'hash']);
  for (let length = 0; length < whole.length; length++)
    expect(() => decodeKey(whole.subarray(0, length), SHAPE)).toThrow(RangeError);
});
