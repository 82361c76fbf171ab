// Tries to lose or change an id between record and bytes, and to make the reader allocate for ids that are not there.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter, MalformedBytes } from '../../../src/domain/bytes.ts';
import { CURRENT_TOKEN_CODEC, tokenCodecById, VARINT_CODEC } from '../../../src/domain/record/token-codec.ts';
import { TOKEN_ID_MAX } from '../../../src/domain/token-sequence.ts';
import { tokenIds } from '../../support/arbitrary-records.ts';

describe.each([VARINT_CODEC])('the $name codec', (codec) => {
  test('gives back exactly the ids it was given, and leaves what follows', () => {
    fc.assert(
      fc.property(tokenIds, (ids) => {
        const writer = new ByteWriter();
        codec.write(ids, writer);
        writer.byte(0x5a);
        const reader = new ByteReader(writer.view());
        expect(codec.read(reader, ids.length)).toEqual(ids);
        expect(reader.byte()).toBe(0x5a);
      }),
    );
  });

  test('is found by its id', () => {
    expect(tokenCodecById(codec.id)).toBe(codec);
  });

  test('refuses more ids than there can be without making room for them', () => {
    expect(() => codec.read(new ByteReader(Buffer.alloc(8)), 2 ** 40)).toThrow(MalformedBytes);
  });

  test('refuses an id that no tokenizer has', () => {
    const writer = new ByteWriter();
    writer.varint(TOKEN_ID_MAX + 1);
    expect(() => codec.read(new ByteReader(writer.view()), 1)).toThrow(MalformedBytes);
  });

  test('takes about two bytes an id on a vocabulary of 150,000', () => {
    const writer = new ByteWriter();
    const ids = fc.sample(tokenIds, { seed: 1, numRuns: 50 }).flat();
    codec.write(ids, writer);
    expect(writer.view().length / ids.length).toBeLessThan(3.5);
  });
});

test('new records are written with a codec that can be read', () => {
  expect(tokenCodecById(CURRENT_TOKEN_CODEC.id)).toBe(CURRENT_TOKEN_CODEC);
});

test('an unknown codec is malformed, not guessed', () => {
  expect(() => tokenCodecById(0)).toThrow(MalformedBytes);
  expect(() => tokenCodecById(255)).toThrow(MalformedBytes);
});
