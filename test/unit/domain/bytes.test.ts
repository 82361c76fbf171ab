// Tries to get another value out than was put in, to read past the end, or to have two byte strings for one value.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter, MalformedBytes } from '../../../src/domain/bytes.ts';

function written(write: (writer: ByteWriter) => void, initialBytes?: number): Buffer {
  const writer = new ByteWriter(initialBytes);
  write(writer);
  return Buffer.from(writer.view());
}

const reading = (hex: string) => new ByteReader(Buffer.from(hex, 'hex'));

test('values come back in the order they were written, however often the buffer had to grow', () => {
  const value = fc.oneof(
    fc.record({ kind: fc.constant('byte' as const), value: fc.nat(255) }),
    fc.record({ kind: fc.constant('varint' as const), value: fc.maxSafeNat() }),
    fc.record({ kind: fc.constant('text' as const), value: fc.string({ unit: 'binary', maxLength: 50 }) }),
    fc.record({ kind: fc.constant('double' as const), value: fc.double({ noNaN: true }) }),
    fc.record({ kind: fc.constant('raw' as const), value: fc.uint8Array({ maxLength: 50 }) }),
  );
  fc.assert(
    fc.property(fc.array(value), (values) => {
      const bytes = written((writer) => {
        for (const one of values) {
          if (one.kind === 'byte') writer.byte(one.value);
          else if (one.kind === 'varint') writer.varint(one.value);
          else if (one.kind === 'text') writer.text(one.value);
          else if (one.kind === 'double') writer.double(one.value);
          else writer.raw(one.value);
        }
      }, 1);
      const reader = new ByteReader(bytes);
      for (const one of values) {
        if (one.kind === 'byte') expect(reader.byte()).toBe(one.value);
        else if (one.kind === 'varint') expect(reader.varint()).toBe(one.value);
        else if (one.kind === 'text') expect(reader.text(1_000)).toBe(one.value);
        else if (one.kind === 'double') expect(reader.double()).toBe(one.value);
        else expect(reader.raw(one.value.length)).toEqual(Buffer.from(one.value));
      }
      expect(reader.remaining).toBe(0);
    }),
  );
});

describe('a varint', () => {
  test.each([
    [0, '00'],
    [127, '7f'],
    [128, '8001'],
    [16_383, 'ff7f'],
    [16_384, '808001'],
    [2 ** 32, '8080808010'],
    [Number.MAX_SAFE_INTEGER, 'ffffffffffffff0f'],
  ])('of %i is %s', (value, hex) => {
    expect(written((writer) => writer.varint(value)).toString('hex')).toBe(hex);
    expect(reading(hex).varint()).toBe(value);
  });

  test.each([
    ['beyond 2⁵³', 'ffffffffffffff1f'],
    ['of nine bytes', '808080808080808001'],
    ['in a longer form than needed', '8000'],
    ['cut off', '80'],
    ['that is not there', ''],
  ])('%s is refused', (_, hex) => {
    expect(() => reading(hex).varint()).toThrow(MalformedBytes);
  });

  test('above the limit its reader sets is refused', () => {
    expect(reading('7f').varint(127)).toBe(127);
    expect(() => reading('8001').varint(127)).toThrow(MalformedBytes);
  });

  test.each([-1, 0.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY])('cannot hold %d', (value) => {
    expect(() => new ByteWriter().varint(value)).toThrow(RangeError);
  });
});

describe('a text', () => {
  test('longer than its limit or than what is left is refused before it is read', () => {
    const bytes = written((writer) => writer.text('abcd'));
    expect(new ByteReader(bytes).text(4)).toBe('abcd');
    expect(() => new ByteReader(bytes).text(3)).toThrow(MalformedBytes);
    expect(() => new ByteReader(bytes.subarray(0, 4)).text(4)).toThrow(MalformedBytes);
  });

  test.each(['01ff', '02c080', '03eda080', '02c3'])('that is not UTF-8 is refused (%s)', (hex) => {
    expect(() => reading(hex).text(10)).toThrow(MalformedBytes);
  });
});

describe('hex digits', () => {
  test('are as many bytes as said', () => {
    const bytes = written((writer) => writer.hex('00ff10', 3));
    expect(new ByteReader(bytes).hex(3)).toBe('00ff10');
    expect(() => new ByteReader(bytes).hex(4)).toThrow(MalformedBytes);
  });

  test.each(['', '00', '00ff1', '00ff1g', '00ff1020'])('are refused when they are not (%s)', (digits) => {
    expect(() => new ByteWriter().hex(digits, 3)).toThrow(RangeError);
  });
});

test.each([-1, 256, Number.NaN])('a byte cannot be %d', (value) => {
  expect(() => new ByteWriter().byte(value)).toThrow(RangeError);
});

test('a double is never NaN, which has many forms', () => {
  expect(() => new ByteWriter().double(Number.NaN)).toThrow(RangeError);
  expect(() => reading('000000000000f87f').double()).toThrow(MalformedBytes);
});
