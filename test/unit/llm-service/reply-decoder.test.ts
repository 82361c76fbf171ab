// Tries to make streamed text differ from the text of all ids, or show half a character: random texts as byte-level
// ids in random groupings, cut off anywhere, with a detokenizer that behaves as llama.cpp's does (U+FFFD for half).
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TokenId, TokenSequence } from '../../../src/domain/token-sequence.ts';
import { ReplyDecoder } from '../../../src/llm-service/embedded/reply-decoder.ts';

/** A vocabulary made as needed: each id stands for some bytes. */
function vocabulary() {
  const pieces: Uint8Array[] = [];
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    idOf: (bytes: Uint8Array) => (pieces.push(bytes) - 1) as TokenId,
    text: (ids: TokenSequence) => decoder.decode(Buffer.concat(ids.map((id) => pieces[id] as Uint8Array))),
  };
}

function group(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const groups: Uint8Array[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] as number;
    groups.push(bytes.subarray(at, at + size));
    at += size;
  }
  return groups;
}

/** Without a run of real U+FFFD that, byte by byte, is longer than what the decoder takes for text. */
const texts = fc
  .string({ unit: fc.constantFrom('a', ' b', 'é', '漢', '🤖', '\u200d', '\ufeff', '\ufffd'), maxLength: 20 })
  .filter((text) => !text.includes('\ufffd'.repeat(4)));
const sizes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 8 });

describe('a reply decoded as it comes', () => {
  test('is the text of all ids but for a character still incomplete', () => {
    fc.assert(
      fc.property(texts, sizes, fc.nat(3), (text, sizes, missing) => {
        const { idOf, text: detokenize } = vocabulary();
        const bytes = new TextEncoder().encode(text);
        const ids = group(bytes.subarray(0, Math.max(0, bytes.length - missing)), sizes).map(idOf);
        const decoder = new ReplyDecoder(detokenize, []);
        const shown = ids.map((id) => decoder.push(id));
        for (const piece of shown) expect(piece.isWellFormed()).toBe(true);
        expect(shown.join('')).toBe(detokenize(ids).replace(/\ufffd$/, ''));
      }),
      { numRuns: 2000 },
    );
  });

  test('waits for the rest of a character and then shows it whole', () => {
    const { idOf, text } = vocabulary();
    const decoder = new ReplyDecoder(text, []);
    const bytes = [...new TextEncoder().encode('🤖!')].map((byte) => idOf(Uint8Array.of(byte)));
    expect(bytes.map((id) => decoder.push(id))).toEqual(['', '', '', '🤖', '!']);
  });

  test('of nothing but broken bytes is shown all the same, in linear time', () => {
    const { idOf, text } = vocabulary();
    const broken = idOf(Uint8Array.of(0xff));
    let most = 0;
    const decoder = new ReplyDecoder((ids) => {
      most = Math.max(most, ids.length);
      return text(ids);
    }, []);
    const shown = Array.from({ length: 1000 }, () => decoder.push(broken)).join('');
    expect(shown.length).toBeGreaterThanOrEqual(999);
    expect(most).toBeLessThan(20);
  });

  test('shows the tokenizer what came before: the prompt first, then the reply', () => {
    const seen: number[][] = [];
    const decoder = new ReplyDecoder(
      (ids, before) => {
        seen.push([...before]);
        return `${ids}`;
      },
      [1, 2, 3, 4] as TokenId[],
    );
    for (const id of [5, 6] as TokenId[]) decoder.push(id);
    expect(seen).toEqual([
      [2, 3, 4],
      [3, 4, 5],
    ]);
  });
});
