import { truncate, writeFile } from 'node:fs/promises';

/** The numbers that a transformer's size and its KV cache follow from. */
export interface ModelShape {
  readonly name: string;
  readonly layers: number;
  readonly width: number;
  readonly feedForward: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headWidth: number;
  readonly vocabulary: number;
  /** Ids that it was trained with. */
  readonly contextTokens: number;
}

/** ggml's types of tensors, as GGUF numbers them. */
const F32 = 0;
const Q4_K = 12;

/** GGUF's types of metadata. */
const UINT32 = 4;
const INT32 = 5;
const FLOAT32 = 6;
const STRING = 8;
const ARRAY = 9;

/** GGUF's default: where tensors may begin. */
const ALIGNMENT = 32;

/**
 * Writes a GGUF file of that shape, quantized as Q4_K: the header, from which llama.cpp plans its memory, and in place of the
 * weights a hole that takes no space on disk.
 */
export async function writeGgufHeader(path: string, shape: ModelShape): Promise<void> {
  const { tensors, bytes } = tensorsOf(shape);
  const metadata = metadataOf(shape);
  const head = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(metadata.length)]);
  const header = Buffer.concat([head, ...metadata, ...tensors]);
  await writeFile(path, header);
  await truncate(path, aligned(header.length) + bytes);
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function metadataOf(shape: ModelShape): Buffer[] {
  const numbers = {
    block_count: shape.layers,
    context_length: shape.contextTokens,
    embedding_length: shape.width,
    feed_forward_length: shape.feedForward,
    'attention.head_count': shape.heads,
    'attention.head_count_kv': shape.kvHeads,
    'attention.key_length': shape.headWidth,
    'attention.value_length': shape.headWidth,
    'rope.dimension_count': shape.headWidth,
    vocab_size: shape.vocabulary,
  };
  const ids = Array.from({ length: shape.vocabulary }, (_, id) => id);
  // SentencePiece's first three, and a text for every byte.
  const texts = ids.map((id) => text(['<unk>', '<s>', '</s>'][id] ?? (id < 259 ? byteText(id - 3) : `t${id}`)));
  const types = ids.map((id) => u32(id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1));
  return [
    entry('general.architecture', STRING, text('llama')),
    entry('general.name', STRING, text(shape.name)),
    entry('general.file_type', UINT32, u32(15)),
    ...Object.entries(numbers).map(([name, value]) => entry(`llama.${name}`, UINT32, u32(value))),
    entry('llama.attention.layer_norm_rms_epsilon', FLOAT32, f32(1e-5)),
    entry('tokenizer.ggml.model', STRING, text('llama')),
    list('tokenizer.ggml.tokens', STRING, texts),
    list(
      'tokenizer.ggml.scores',
      FLOAT32,
      ids.map(() => f32(0)),
    ),
    list('tokenizer.ggml.token_type', INT32, types),
  ];
}

function tensorsOf({ layers, width, feedForward, heads, kvHeads, headWidth, vocabulary }: ModelShape) {
  let offset = 0;
  const tensor = (name: string, type: number, ...sizes: number[]) => {
    const info = Buffer.concat([text(name), u32(sizes.length), ...sizes.map(u64), u32(type), u64(offset)]);
    const elements = sizes.reduce((product, size) => product * size, 1);
    // Q4_K has 144 bytes for 256 weights.
    offset += aligned(type === F32 ? elements * 4 : Math.ceil(elements / 256) * 144);
    return info;
  };
  const block = (layer: number) => [
    tensor(`blk.${layer}.attn_norm.weight`, F32, width),
    tensor(`blk.${layer}.attn_q.weight`, Q4_K, width, heads * headWidth),
    tensor(`blk.${layer}.attn_k.weight`, Q4_K, width, kvHeads * headWidth),
    tensor(`blk.${layer}.attn_v.weight`, Q4_K, width, kvHeads * headWidth),
    tensor(`blk.${layer}.attn_output.weight`, Q4_K, heads * headWidth, width),
    tensor(`blk.${layer}.ffn_norm.weight`, F32, width),
    tensor(`blk.${layer}.ffn_gate.weight`, Q4_K, width, feedForward),
    tensor(`blk.${layer}.ffn_up.weight`, Q4_K, width, feedForward),
    tensor(`blk.${layer}.ffn_down.weight`, Q4_K, feedForward, width),
  ];
  const tensors = [
    tensor('token_embd.weight', Q4_K, width, vocabulary),
    ...Array.from({ length: layers }, (_, layer) => block(layer)).flat(),
    tensor('output_norm.weight', F32, width),
  ];
  return { tensors, bytes: offset };
}

function byteText(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}

function list(name: string, type: number, values: readonly Buffer[]): Buffer {
  return entry(name, ARRAY, u32(type), u64(values.length), Buffer.concat(values));
}

function entry(name: string, type: number, ...value: Buffer[]): Buffer {
  return Buffer.concat([text(name), u32(type), ...value]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}
