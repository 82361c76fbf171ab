import { access, type FileHandle, open, rename, rm } from 'node:fs/promises';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import { string, uint32, uint64 } from './gguf-encoding.ts';
import { integersOf, type MetadataEntry, stringsOf } from './gguf-metadata.ts';
import type { ModelShape } from './model-shape.ts';
import { replyWords } from './reply-words.ts';
import { SeededBytes } from './seeded-bytes.ts';
import { OUTPUT_TENSOR, type ShapedTensor, shapeTensors } from './shape-tensors.ts';
import { shapedMetadata } from './shaped-metadata.ts';
import { readVocabularyFile } from './vocabulary-file.ts';
import { encodedBytes } from './weight-format.ts';
import type { WeightType } from './weight-type.ts';

export interface ShapedModelOptions {
  readonly shape: ModelShape;
  /** What the shape is called, for the model's name. */
  readonly shapeName: string;
  /** A GGUF file with a tokenizer, packed with gzip or not; its weights, if it has any, are not looked at. */
  readonly vocabularyPath: string;
  readonly outPath: string;
  readonly type: WeightType;
  /** A whole number; the same seed gives the same file, byte for byte, on every machine. */
  readonly seed: number;
  /** Replace a file that is there. */
  readonly force?: boolean | undefined;
  readonly onProgress?:
    | ((progress: { readonly writtenBytes: number; readonly totalBytes: number }) => void)
    | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ShapedModel {
  readonly path: string;
  readonly fileBytes: number;
  /** Weights in all tensors. */
  readonly parameters: number;
  readonly vocabularySize: number;
  /** How many ids it replies with. */
  readonly replyWords: number;
}

const GGUF_VERSION = 3;
const ALIGNMENT_BYTES = 32;
/** Held in memory at a time; enough that the disk and not the loop sets the pace. */
const CHUNK_BYTES = 4 << 20;

/**
 * Writes a GGUF of architecture qwen2 that costs what a model of this shape and type costs and says words without
 * meaning, always as many as it may: no end of reply is ever likely. The file appears under its name when it is whole.
 * Throws `config_invalid` for a shape the type cannot hold, `model_unusable` for a vocabulary that cannot be used and for
 * a file that cannot be written, and `signal.reason`.
 */
export async function makeShapedModel(options: ShapedModelOptions): Promise<ShapedModel> {
  const { shape, type, seed, vocabularyPath, outPath } = options;
  const source = await readVocabularyFile(vocabularyPath);
  const tokens = entryValue(source, 'tokenizer.ggml.tokens', stringsOf) ?? [];
  const spoken = replyWords(tokens, entryValue(source, 'tokenizer.ggml.token_type', integersOf));
  if (spoken.length === 0) throw unusable(`vocabulary file ${vocabularyPath} has no words; choose a text model's`);

  const tensors = shapeTensors(shape, tokens.length, type);
  checkRows(tensors, type);
  const metadata = shapedMetadata({ ...options, source, tokens });
  const head = encodeHead(metadata, tensors);
  const totalBytes = head.length + tensors.reduce((sum, tensor) => sum + aligned(tensorBytes(tensor)), 0);

  await writeWhole(options, async (file) => {
    let writtenBytes = 0;
    const write = async (bytes: Buffer) => {
      options.signal?.throwIfAborted();
      await file.writeFile(bytes);
      writtenBytes += bytes.length;
      options.onProgress?.({ writtenBytes, totalBytes });
    };
    await write(head);
    for (const tensor of tensors) {
      const rowsKept = tensor.name === OUTPUT_TENSOR ? new Set(spoken) : undefined;
      for (const bytes of tensorChunks(tensor, seed, rowsKept)) await write(bytes);
      await write(padding(tensorBytes(tensor)));
    }
  });
  return {
    path: outPath,
    fileBytes: totalBytes,
    parameters: tensors.reduce((sum, tensor) => sum + weightsOf(tensor), 0),
    vocabularySize: tokens.length,
    replyWords: spoken.length,
  };
}

/** The tensor's bytes, whole rows at a time. The buffer is used again for the next chunk. */
function* tensorChunks(tensor: ShapedTensor, seed: number, rowsKept: ReadonlySet<number> | undefined) {
  const { name, dimensions, format, deviation } = tensor;
  const rows = dimensions[1] ?? 1;
  const rowBytes = encodedBytes(format, dimensions[0]);
  const buffer = Buffer.alloc(rowBytes * Math.min(rows, Math.max(1, Math.floor(CHUNK_BYTES / rowBytes))));
  const random = new SeededBytes(seed, name);
  const toWeights = format.weights(deviation);
  for (let row = 0; row < rows; row += buffer.length / rowBytes) {
    const chunk = buffer.subarray(0, Math.min(buffer.length, (rows - row) * rowBytes));
    random.fill(chunk);
    if (deviation === 0) fillWithOnes(chunk);
    else toWeights(chunk);
    if (rowsKept !== undefined) {
      for (let at = 0; at < chunk.length; at += rowBytes) {
        if (!rowsKept.has(row + at / rowBytes)) chunk.fill(0, at, at + rowBytes);
      }
    }
    yield chunk;
  }
}

function fillWithOnes(vector: Buffer): void {
  for (let at = 0; at < vector.length; at += 4) vector.writeFloatLE(1, at);
}

function encodeHead(metadata: readonly MetadataEntry[], tensors: readonly ShapedTensor[]): Buffer {
  let offset = 0;
  const infos = tensors.map((tensor) => {
    const { name, dimensions, format } = tensor;
    const info = [string(name), uint32(dimensions.length), ...dimensions.map(uint64), uint32(format.ggmlType)];
    const encoded = Buffer.concat([...info, uint64(offset)]);
    offset += aligned(tensorBytes(tensor));
    return encoded;
  });
  const head = Buffer.concat([
    Buffer.from('GGUF'),
    uint32(GGUF_VERSION),
    uint64(tensors.length),
    uint64(metadata.length),
    ...metadata.flatMap(({ key, encoded }) => [string(key), encoded]),
    ...infos,
  ]);
  return Buffer.concat([head, padding(head.length)]);
}

/** Writes under another name first, so that a file under `outPath` is never a part of one. */
async function writeWhole(
  { outPath, force = false, signal }: ShapedModelOptions,
  write: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const exists = await access(outPath).then(
    () => true,
    () => false,
  );
  if (exists && !force) throw unusable(`${outPath} is there already; choose another name, or replace it with --force`);
  const partial = `${outPath}.${process.pid}.partial`;
  try {
    const file = await open(partial, 'w');
    try {
      await write(file);
    } finally {
      await file.close();
    }
    await rename(partial, outPath);
  } catch (cause) {
    await rm(partial, { force: true });
    if (signal?.aborted) throw signal.reason;
    throw unusable(`${outPath} cannot be written (${(cause as { code?: string }).code ?? 'unknown'})`, cause);
  }
}

function checkRows(tensors: readonly ShapedTensor[], type: WeightType): void {
  for (const { name, dimensions, format } of tensors) {
    if (dimensions[0] % format.blockWeights === 0) continue;
    throw new DiscedgeError(
      'config_invalid',
      `type ${type} needs sizes that are multiples of ${format.blockWeights}, and ${name} has rows of ${dimensions[0]}`,
    );
  }
}

function entryValue<Value>(
  entries: readonly MetadataEntry[],
  key: string,
  read: (entry: MetadataEntry) => Value | undefined,
): Value | undefined {
  const entry = entries.find((candidate) => candidate.key === key);
  return entry === undefined ? undefined : read(entry);
}

const weightsOf = ({ dimensions }: ShapedTensor) => dimensions[0] * (dimensions[1] ?? 1);
const tensorBytes = (tensor: ShapedTensor) => encodedBytes(tensor.format, weightsOf(tensor));
const padding = (length: number) => Buffer.alloc(aligned(length) - length);
const aligned = (length: number) => Math.ceil(length / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;

function unusable(message: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('model_unusable', message, { cause });
}
