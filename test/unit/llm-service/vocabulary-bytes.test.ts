// Tries to make the bytes of a token differ from what llama.cpp writes for it, in each kind of vocabulary.
import { expect, it } from 'vitest';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { type GgufVocabulary, VocabularyBytes } from '../../../src/llm-service/vocabulary-bytes.ts';

const [NORMAL, CONTROL, USER_DEFINED, BYTE] = [1, 3, 4, 6];

function pieces(vocabulary: GgufVocabulary | undefined, count: number): (string | undefined)[] {
  const bytes = new VocabularyBytes(vocabulary);
  return Array.from({ length: count }, (_, id) => {
    const piece = bytes.bytesOf(id as TokenId);
    return piece && Buffer.from(piece).toString('latin1');
  });
}

it('byte-level BPE: every byte has a character, and tokens that are not ordinary are written as they are', () => {
  const tokens = ['Ġthe', 'Ā', 'åªĹ', '<|im_start|>', 'Ġ', '¡ÿŃ', '媽'];
  const types = [NORMAL, NORMAL, NORMAL, CONTROL, USER_DEFINED, NORMAL, NORMAL];
  expect(pieces({ model: 'gpt2', tokens, token_type: types }, 8)).toEqual([
    ...[' the', '\0', '\xe5\xaa\x97', '<|im_start|>', Buffer.from('Ġ').toString('latin1'), '\xa1\xff\xad'],
    ...[undefined, undefined],
  ]);
});

it('SentencePiece: a mark is a space, and bytes have names', () => {
  const tokens = ['\u2581the', '<0xE5>', '</s>', '\u2581', '<0x41>', 'é'];
  const types = [NORMAL, BYTE, CONTROL, USER_DEFINED, NORMAL, NORMAL];
  for (const model of ['llama', 't5']) {
    expect(pieces({ model, tokens, token_type: types }, 6)).toEqual([
      ...[' the', '\xe5', '</s>', Buffer.from('\u2581').toString('latin1'), '<0x41>', '\xc3\xa9'],
    ]);
  }
});

it('of another kind of vocabulary, or none, nothing is claimed', () => {
  expect(pieces({ model: 'rwkv', tokens: ['a'] }, 1)).toEqual([undefined]);
  expect(pieces(undefined, 1)).toEqual([undefined]);
});
