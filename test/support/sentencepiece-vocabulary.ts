import { writeFile } from 'node:fs/promises';

type MetadataValue =
  | string
  | number
  | { readonly int32: readonly number[] }
  | { readonly float32: readonly number[] }
  | readonly string[];

const TYPE = { uint32: 4, int32: 5, float32: 6, string: 8, array: 9 } as const;
const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, byte: 6 } as const;

/**
 * Writes a GGUF with a SentencePiece tokenizer as Llama 2 has it, and no weights: `<unk>`, `<s>`, `</s>`, the other
 * control tokens, 256 byte tokens, ASCII characters, and the given words with and without the space before them.
 */
export async function writeSentencePieceVocabulary(
  path: string,
  { controls, words }: { controls: readonly string[]; words: readonly string[] },
): Promise<void> {
  const pieces = new Set(['▁', ...Array.from({ length: 94 }, (_, index) => String.fromCharCode(33 + index))]);
  // A piece is only reached by merging two others, so every beginning of a word is a piece too.
  for (const word of words.flatMap((text) => [text, `▁${text}`])) {
    for (let end = 1; end <= word.length; end++) pieces.add(word.slice(0, end));
  }
  const others = controls.filter((text) => text !== '<s>' && text !== '</s>');
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const vocabulary: [text: string, type: number][] = [
    ['<unk>', TOKEN_TYPE.unknown],
    ...['<s>', '</s>', ...others].map((text): [string, number] => [text, TOKEN_TYPE.control]),
    ...bytes.map((text): [string, number] => [text, TOKEN_TYPE.byte]),
    ...[...pieces].map((text): [string, number] => [text, TOKEN_TYPE.normal]),
  ];
  await writeFile(
    path,
    ggufMetadata({
      'general.architecture': 'llama',
      'llama.context_length': 512,
      'llama.embedding_length': 8,
      'llama.block_count': 1,
      'llama.feed_forward_length': 8,
      'llama.attention.head_count': 1,
      'tokenizer.ggml.model': 'llama',
      'tokenizer.ggml.tokens': vocabulary.map(([text]) => text),
      'tokenizer.ggml.scores': { float32: vocabulary.map((_, index) => -index) },
      'tokenizer.ggml.token_type': { int32: vocabulary.map(([, type]) => type) },
      'tokenizer.ggml.bos_token_id': 1,
      'tokenizer.ggml.eos_token_id': 2,
    }),
  );
}

/** A GGUF file, version 3, with metadata and no tensors. */
export function ggufMetadata(metadata: Readonly<Record<string, MetadataValue>>): Buffer {
  const entries = Object.entries(metadata);
  const head = Buffer.concat([Buffer.from('GGUF'), uint32(3), uint64(0), uint64(entries.length)]);
  return Buffer.concat([head, ...entries.flatMap(([key, value]) => [text(key), metadataValue(value)])]);
}

function metadataValue(value: MetadataValue): Buffer {
  if (typeof value === 'string') return Buffer.concat([uint32(TYPE.string), text(value)]);
  if (typeof value === 'number') return Buffer.concat([uint32(TYPE.uint32), uint32(value)]);
  const array = (type: number, items: readonly Buffer[]) =>
    Buffer.concat([uint32(TYPE.array), uint32(type), uint64(items.length), ...items]);
  if ('int32' in value) return array(TYPE.int32, value.int32.map(uint32));
  if ('float32' in value) return array(TYPE.float32, value.float32.map(float32));
  return array(TYPE.string, value.map(text));
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([uint64(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function float32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}
