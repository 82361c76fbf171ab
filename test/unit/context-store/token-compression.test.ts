// Tries to lose or change an id between sequence and bytes, whatever ids came before; to make the reader take bytes that
// nobody wrote for something that it cannot hold, or work for long on a few of them; and to lose a carry in the coder.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RangeDecoder, RangeEncoder, TOTAL_MAX } from '../../../src/context-store/replication/delta/range-coder.ts';
import {
  compressIds,
  decompressIds,
  IDS_PER_BYTE_MAX,
} from '../../../src/context-store/replication/delta/token-compression.ts';
import { MalformedBytes } from '../../../src/domain/bytes.ts';
import { TOKEN_ID_MAX, type TokenId } from '../../../src/domain/token-sequence.ts';
import { tokenIds } from '../../support/arbitrary-records.ts';

/** Few different ids, so that everything is seen before and followed by something. */
const chatter = fc.array(fc.integer({ min: 0, max: 12 }) as fc.Arbitrary<TokenId>, { maxLength: 300 });
const sequences = fc.oneof(tokenIds, chatter);

describe('compressed ids', () => {
  test('come back exactly, whatever was known before', () => {
    fc.assert(
      fc.property(sequences, sequences, (ids, known) => {
        const bytes = compressIds(ids, known);
        fc.pre(ids.length <= bytes.length * IDS_PER_BYTE_MAX);
        expect(decompressIds(bytes, ids.length, known)).toEqual(ids);
      }),
      { numRuns: 500 },
    );
  });

  test('come back also where more differ than there is room to remember', () => {
    const ids = Array.from({ length: 12_000 }, (_, i) => ((i * 7_919) % 6_000) as TokenId);
    expect(decompressIds(compressIds(ids, []), ids.length, [])).toEqual(ids);
  });

  test('take a fifth of the bytes when they were known before', () => {
    const ids = fc.sample(fc.nat(151_935), { seed: 3, numRuns: 150 }) as TokenId[];
    expect(compressIds(ids, ids).length).toBeLessThan(compressIds(ids, []).length / 5);
  });

  test('take no more than three bytes each where nothing can be foretold', () => {
    const ids = fc.sample(fc.nat(151_935), { seed: 4, numRuns: 1_000 }) as TokenId[];
    expect(compressIds(ids, []).length).toBeLessThan(3 * ids.length);
  });

  test('have the same bytes on every machine', () => {
    const ids = Array.from({ length: 40 }, (_, i) => ((i * i * 31) % 5_000) as TokenId);
    const bytes = Buffer.concat([compressIds(ids, []), compressIds(ids.slice(7), ids)]);
    expect(bytes.toString('hex')).toBe(
      '000196221a87e04aa69945cac7a02030e0a2b6b8bc7cb268d3541af00ba26e92904401d864f06f7891602bb3b6d1d282bea125cc0f449b76f765be39c4f0a4810ca7648406666660',
    );
  });

  test('of what is no id are refused', () => {
    for (const id of [-1, TOKEN_ID_MAX + 1, 1.5, Number.NaN])
      expect(() => compressIds([id as TokenId], []), String(id)).toThrow(RangeError);
  });
});

describe('bytes that nobody compressed', () => {
  test('are some ids or malformed, and never more than so few bytes may hold', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(3_000), sequences, (bytes, count, known) => {
        let ids: TokenId[];
        try {
          ids = decompressIds(bytes, count, known);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedBytes);
          return;
        }
        expect(ids).toHaveLength(count);
        expect(ids.every((id) => Number.isInteger(id) && id >= 0 && id <= TOKEN_ID_MAX)).toBe(true);
        expect(count).toBeLessThanOrEqual(bytes.length * IDS_PER_BYTE_MAX);
      }),
      { numRuns: 1_000 },
    );
  });

  test('are not asked for a sequence that there is no room for', () => {
    expect(() => decompressIds(new Uint8Array(8), 2 ** 40, [])).toThrow(MalformedBytes);
  });
});

test('choices come back from the range coder, the smallest and the surest', () => {
  const choice = fc
    .record({ total: fc.oneof(fc.integer({ min: 1, max: TOTAL_MAX }), fc.constantFrom(1, 2, 255, 256, TOTAL_MAX)) })
    .chain(({ total }) =>
      fc.record({ total: fc.constant(total), start: fc.oneof(fc.nat(total - 1), fc.constantFrom(0, total - 1)) }),
    )
    .chain(({ total, start }) =>
      fc.record({
        total: fc.constant(total),
        start: fc.constant(start),
        weight: fc.oneof(fc.integer({ min: 1, max: total - start }), fc.constantFrom(1, total - start)),
      }),
    );
  fc.assert(
    fc.property(fc.array(choice, { maxLength: 200 }), (choices) => {
      const encoder = new RangeEncoder();
      for (const { start, weight, total } of choices) encoder.write(start, weight, total);
      const decoder = new RangeDecoder(encoder.finish());
      for (const { start, weight, total } of choices) {
        const at = decoder.peek(total);
        expect(at >= start && at < start + weight).toBe(true);
        decoder.take(start, weight, total);
      }
    }),
    { numRuns: 500 },
  );
});
