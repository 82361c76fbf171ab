import type { TokenId } from '../domain/token-sequence.ts';

/** What a GGUF file says of its vocabulary, as far as the bytes of tokens depend on it. */
export interface GgufVocabulary {
  /** Kind of tokenizer: `gpt2` for byte-level BPE, `llama` and `t5` for SentencePiece. */
  readonly model: string;
  readonly tokens: readonly string[];
  readonly token_type?: readonly number[] | undefined;
}

/** `token_type` of an ordinary token; others are written as they are, but for bytes of SentencePiece. */
const NORMAL = 1;
const BYTE = 6;

/** SentencePiece writes a space so. */
const SPACE_MARK = /\u2581/g;

/** The bytes of a vocabulary's tokens, half characters included, which llama.cpp's texts do not have. */
export class VocabularyBytes {
  readonly #vocabulary: GgufVocabulary | undefined;

  constructor(vocabulary: GgufVocabulary | undefined) {
    this.#vocabulary = vocabulary;
  }

  /** `undefined` where the kind of tokenizer is not known here. */
  bytesOf(id: TokenId): Uint8Array | undefined {
    const { model, tokens, token_type: types } = this.#vocabulary ?? NONE;
    const text = tokens[id];
    if (text === undefined) return undefined;
    const type = types?.[id] ?? NORMAL;
    switch (model) {
      case 'gpt2':
        return type === NORMAL ? byteLevelTokenBytes(text) : Buffer.from(text);
      case 'llama':
      case 't5':
        return type === BYTE ? namedByte(text) : Buffer.from(type === NORMAL ? text.replace(SPACE_MARK, ' ') : text);
      default:
        return undefined;
    }
  }
}

const NONE: GgufVocabulary = { model: '', tokens: [] };

/** A byte is written `<0xE2>`. */
function namedByte(text: string): Uint8Array | undefined {
  const hex = /^<0x([0-9A-F]{2})>$/i.exec(text)?.[1];
  return hex === undefined ? undefined : Uint8Array.of(Number.parseInt(hex, 16));
}

/** Of a token of byte-level BPE: each character stands for a byte. `undefined` where one does not. */
export function byteLevelTokenBytes(text: string): Uint8Array | undefined {
  const bytes = Array.from(text, (character) => BYTE_OF_CHARACTER.get(character));
  return bytes.includes(undefined) ? undefined : Uint8Array.from(bytes as number[]);
}

/**
 * Byte-level BPE writes a byte that Latin-1 can print as that character, and the others, in order, as the characters from
 * U+0100 on (Radford et al., GPT-2).
 */
const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = new Map(
  ((next) =>
    Array.from({ length: 256 }, (_, byte): [string, number] => {
      const isPrintable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
      return [String.fromCharCode(isPrintable ? byte : next++), byte];
    }))(0x100),
);
