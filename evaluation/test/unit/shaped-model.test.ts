// Tries to make the generator of models write what llama.cpp would refuse or mistake: weights out of range or off centre,
// tensors that overlap, ids that end a reply, other bytes for the same seed, half a file under the model's name. The
// weights are read back by decoders written from the format's description; loading is evaluation/test/integration/shaped-model.test.ts.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { readGgufFileInfo } from 'node-llama-cpp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHalf } from '../../src/shaped-model/half.ts';
import { type ModelShape, modelShape } from '../../src/shaped-model/model-shape.ts';
import { REPLY_WORDS_MAX, replyWords } from '../../src/shaped-model/reply-words.ts';
import { SeededBytes } from '../../src/shaped-model/seeded-bytes.ts';
import { makeShapedModel, type ShapedModelOptions } from '../../src/shaped-model/shaped-model.ts';
import { F16, F32, Q4_K, Q6_K, Q8_0, type WeightFormat } from '../../src/shaped-model/weight-format.ts';
import { weightFormat } from '../../src/shaped-model/weight-type.ts';

const vocabularyPath = fileURLToPath(new URL('../../../models/demo/demo.gguf', import.meta.url));
const TINY = { layers: 2, hidden: 64, heads: 4, feedForward: 96, contextTokens: 512 };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-shaped-'));
});
afterAll(() => rm(folder, { recursive: true }));

let made = 0;
async function make(
  replaced: Partial<ModelShape> = TINY,
  options: Partial<ShapedModelOptions> = {},
): Promise<{ path: string; bytes: Buffer }> {
  const outPath = join(folder, `model-${made++}.gguf`);
  const shape = modelShape('qwen1.5-0.5b', replaced);
  await makeShapedModel({ shape, shapeName: 'tiny', vocabularyPath, outPath, type: 'f16', seed: 1, ...options });
  return { path: outPath, bytes: await readFile(outPath) };
}

describe('weights', () => {
  const cases: [string, WeightFormat, (blocks: Buffer) => number[]][] = [
    ['F16', F16, decodeF16],
    ['F32', F32, (blocks) => Array.from({ length: blocks.length / 4 }, (_, i) => blocks.readFloatLE(4 * i))],
    ['Q8_0', Q8_0, decodeQ80],
    ['Q4_K', Q4_K, decodeQ4K],
    ['Q6_K', Q6_K, decodeQ6K],
  ];

  it.each(cases)('in %s lie evenly around 0 with the deviation asked for', (_, format, decode) => {
    const blocks = Buffer.alloc(4_096 * format.blockBytes * Math.max(1, 64 / format.blockWeights));
    new SeededBytes(7, 'weights').fill(blocks);
    format.weights(0.05)(blocks);
    const weights = decode(blocks);
    expect(weights).toHaveLength((blocks.length / format.blockBytes) * format.blockWeights);
    const mean = weights.reduce((sum, weight) => sum + weight, 0) / weights.length;
    const deviation = Math.sqrt(weights.reduce((sum, weight) => sum + (weight - mean) ** 2, 0) / weights.length);
    expect(Math.abs(mean)).toBeLessThan(0.0005);
    expect(deviation).toBeCloseTo(0.05, 3);
    expect(Math.max(...weights.slice(0, 50_000))).toBeLessThanOrEqual(0.05 * Math.sqrt(3) * 1.01);
  });

  it('in Q8_0 are never -128, which no quantizer writes', () => {
    const blocks = Buffer.alloc(34, 0x80);
    Q8_0.weights(1)(blocks);
    expect([...blocks.subarray(2)]).toEqual(Array(32).fill(0));
  });

  it('round to the nearest half, ties to even', () => {
    for (let bits = 0; bits < 0x7c00; bits++) expect(toHalf(fromHalf(bits))).toBe(bits);
    for (let bits = 0; bits < 0x7bff; bits++) {
      const between = (fromHalf(bits) + fromHalf(bits + 1)) / 2;
      expect(toHalf(between)).toBe(bits % 2 === 0 ? bits : bits + 1);
      expect(toHalf(-between * (1 - 2 ** -20))).toBe(0x8000 | bits);
    }
  });

  it('of q4_k are spread over the layers as llama-quantize spreads them', () => {
    const layers = Array.from({ length: 24 }, (_, layer) => layer);
    const larger = layers.filter((layer) => weightFormat('q4_k', { name: 'ffn_down', layer, layers: 24 }) === Q6_K);
    expect(larger).toEqual([0, 1, 2, 5, 8, 11, 14, 17, 20, 21, 22, 23]);
    expect(weightFormat('q4_k', { name: 'ffn_up', layer: 0, layers: 24 })).toBe(Q4_K);
  });
});

describe('words of replies', () => {
  const filler = Array.from({ length: 20 }, (_, i) => `Ġ${'abcdefghijklmnopqrst'[i]}a`);

  it('are whole words with a space before them, and no control token looks like one', () => {
    const tokens = ['Ġword', 'half', 'ĠWord', 'Ġâĸ', 'Ġend', '▁piece', ...filler];
    const types = tokens.map((token) => (token === 'Ġend' ? 3 : 1));
    expect(replyWords(tokens, types)).toEqual([0, 5, ...filler.map((_, i) => i + 6)]);
  });

  it('are the first of a large vocabulary', () => {
    const letters = 'abcdefghijklmnopqrstuvwxyz';
    const tokens = Array.from(
      { length: 10_000 },
      (_, i) => `Ġ${[26 ** 2, 26, 1].map((unit) => letters[Math.floor(i / unit) % 26]).join('')}`,
    );
    expect(replyWords(tokens, undefined)).toEqual(Array.from({ length: REPLY_WORDS_MAX }, (_, id) => id));
  });

  it('are all ordinary ids of a vocabulary without such words', () => {
    expect(replyWords(['<s>', '字', '漢', 'Ġa'], [3, 1, 1, 1])).toEqual([1, 2, 3]);
  });
});

describe('a made model', () => {
  it('has the tensors of its shape one after the other, and the tokenizer of its vocabulary', async () => {
    // Vectors of 80 bytes, so that what comes after them has to be moved to a multiple of 32.
    const { path, bytes } = await make({ ...TINY, hidden: 20, heads: 2, feedForward: 28 });
    const info = await readGgufFileInfo(path);
    const source = await readGgufFileInfo(vocabularyPath);
    expect(info.metadata.tokenizer).toEqual(source.metadata.tokenizer);
    expect(info.metadata.general).toMatchObject({ architecture: 'qwen2', file_type: 1 });
    expect((info.metadata as Record<string, unknown>).qwen2).toMatchObject({
      block_count: 2,
      embedding_length: 20,
      feed_forward_length: 28,
      attention: { head_count: 2, head_count_kv: 2 },
    });
    const tensors = info.fullTensorInfo ?? [];
    expect(tensors).toHaveLength(3 + 2 * 12);
    const aligned = (offset: number) => Math.ceil(offset / 32) * 32;
    let end = aligned(info.infoEndOffset as number);
    for (const { name, dimensions, ggmlType, fileOffset } of tensors) {
      expect(Number(fileOffset), name).toBe(end);
      const tensorBytes = dimensions.reduce((product: number, size) => product * Number(size), ggmlType === 1 ? 2 : 4);
      end = aligned(end + tensorBytes);
    }
    expect(bytes.length).toBe(end);
  });

  it('gives only words a logit, and least of all the end of a reply', async () => {
    const { path, bytes } = await make();
    const info = await readGgufFileInfo(path);
    const ggml = info.metadata.tokenizer.ggml;
    const output = info.fullTensorInfo?.find(({ name }) => name === 'output.weight');
    const start = Number(output?.fileOffset);
    const spoken = ggml.tokens.filter((_, id) => {
      const row = bytes.subarray(start + id * 128, start + (id + 1) * 128);
      return row.some((byte) => byte !== 0);
    });
    expect(spoken).toHaveLength(929);
    expect(spoken.every((token) => /^Ġ[a-z]+$/.test(token))).toBe(true);
  });

  it('is the same file for the same seed, whatever the vocabulary is packed in, and another for another seed', async () => {
    const packed = join(folder, 'packed.gguf.gz');
    await writeFile(packed, gzipSync(await readFile(vocabularyPath)));
    const first = await make(TINY, { type: 'q8_0' });
    expect((await make(TINY, { type: 'q8_0', vocabularyPath: packed })).bytes.equals(first.bytes)).toBe(true);
    expect((await make(TINY, { type: 'q8_0', seed: 2 })).bytes.equals(first.bytes)).toBe(false);
  });

  it('keeps the weights of a layer when layers are added, and no two tensors have the same', async () => {
    const weightsOf = async ({ path, bytes }: { path: string; bytes: Buffer }, name: string) => {
      const start = Number((await readGgufFileInfo(path)).fullTensorInfo?.find((t) => t.name === name)?.fileOffset);
      return bytes.subarray(start, start + 64 * 64 * 2);
    };
    const [small, large] = [await make(), await make({ ...TINY, layers: 3 })];
    const query = await weightsOf(small, 'blk.1.attn_q.weight');
    expect(query.equals(await weightsOf(large, 'blk.1.attn_q.weight'))).toBe(true);
    expect(query.equals(await weightsOf(small, 'blk.1.attn_k.weight'))).toBe(false);
    expect(query.equals(await weightsOf(small, 'blk.0.attn_q.weight'))).toBe(false);
  });

  it('gets ChatML where its vocabulary has the control tokens and no template', async () => {
    const { bytes } = await make();
    const bare = join(folder, 'bare.gguf');
    const renamed = Buffer.from(
      bytes.toString('latin1').replace('tokenizer.chat_template', 'tokenizer.chat_tempxxxx'),
      'latin1',
    );
    await writeFile(bare, renamed);
    const { path } = await make(TINY, { vocabularyPath: bare });
    const template = (await readGgufFileInfo(path)).metadata.tokenizer.chat_template;
    expect(template).toContain("'<|im_start|>' + message['role']");
  });

  it('has fewer key and value heads where it is told so', async () => {
    const { path } = await make({ ...TINY, kvHeads: 2 });
    const tensors = (await readGgufFileInfo(path)).tensorInfo ?? [];
    const sizes = (name: string) => tensors.find((tensor) => tensor.name === name)?.dimensions.map(Number);
    expect(sizes('blk.0.attn_k.weight')).toEqual([64, 32]);
    expect(sizes('blk.0.attn_v.bias')).toEqual([32]);
    expect(sizes('blk.0.attn_output.weight')).toEqual([64, 64]);
  });

  it('reports how far it is, up to the size of the file', async () => {
    const shares: number[] = [];
    const { bytes } = await make(TINY, {
      onProgress: ({ writtenBytes, totalBytes }) => shares.push(writtenBytes / totalBytes),
    });
    expect(shares).toEqual([...shares].sort((a, b) => a - b));
    expect(shares.at(-1)).toBe(1);
    expect(bytes.length).toBeGreaterThan(0);
  });
});

describe('what cannot be made', () => {
  it('a file that is there is replaced only when asked', async () => {
    const { path, bytes } = await make();
    await expect(make(TINY, { outPath: path, seed: 2 })).rejects.toMatchObject({ code: 'model_unusable' });
    expect((await readFile(path)).equals(bytes)).toBe(true);
    await make(TINY, { outPath: path, seed: 2, force: true }).catch(() => {});
    expect((await readFile(path)).equals(bytes)).toBe(false);
  });

  it('when interrupted leaves what was there, and nothing beside it', async () => {
    const { path, bytes } = await make();
    const before = await readdir(folder);
    const controller = new AbortController();
    const onProgress = () => controller.abort(new Error('enough'));
    const options = { outPath: path, force: true, seed: 2, signal: controller.signal, onProgress };
    await expect(make(TINY, options)).rejects.toThrow('enough');
    expect((await readFile(path)).equals(bytes)).toBe(true);
    expect(await readdir(folder)).toEqual(before);
  });

  it('in a folder that is not there says so', async () => {
    const outPath = join(folder, 'nowhere', 'model.gguf');
    await expect(make(TINY, { outPath })).rejects.toThrow(/nowhere.*cannot be written \(ENOENT\)/);
  });

  it.each([
    [{ heads: 5 }, 'hidden (1024) must be a multiple of heads (5)'],
    [{ heads: 1024, hidden: 1024 }, 'heads must be 1 to 256'],
    [{ hidden: 48, heads: 16 }, 'hidden / heads (3) must be even'],
    [{ kvHeads: 3 }, 'heads (16) must be a multiple of kvHeads (3)'],
    [{ layers: 0 }, 'layers must be 1 to 256'],
    [{ layers: 1.5 }, 'layers must be 1 to 256'],
  ])('a shape with %o is refused', (replaced, message) => {
    expect(() => modelShape('qwen1.5-0.5b', replaced)).toThrow(message);
  });

  it('an unknown shape is refused with the one that was meant', () => {
    expect(() => modelShape('qwen1.5-0.5')).toThrow('did you mean qwen1.5-0.5b?');
  });

  it('a type whose blocks are longer than the rows is refused before anything is written', async () => {
    const before = await readdir(folder);
    await expect(make(TINY, { type: 'q4_k' })).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('multiples of 256'),
    });
    expect(await readdir(folder)).toEqual(before);
  });
});

function fromHalf(bits: number): number {
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return (bits & 0x8000) === 0 ? magnitude : -magnitude;
}

function decodeF16(blocks: Buffer): number[] {
  return Array.from({ length: blocks.length / 2 }, (_, i) => fromHalf(blocks.readUInt16LE(2 * i)));
}

function decodeQ80(blocks: Buffer): number[] {
  return inBlocks(blocks, 34, (block) =>
    Array.from({ length: 32 }, (_, i) => fromHalf(block.readUInt16LE(0)) * block.readInt8(2 + i)),
  );
}

function decodeQ4K(blocks: Buffer): number[] {
  return inBlocks(blocks, 144, (block) => {
    const [scale, scaleOfLeast] = [fromHalf(block.readUInt16LE(0)), fromHalf(block.readUInt16LE(2))];
    const packed = block.subarray(4, 16);
    return Array.from({ length: 256 }, (_, i) => {
      const part = i >> 5;
      const low = packed[part % 4] as number;
      const middle = packed[(part % 4) + 4] as number;
      const high = packed[(part % 4) + 8] as number;
      const factor = part < 4 ? low & 63 : (high & 15) | ((low >> 6) << 4);
      const least = part < 4 ? middle & 63 : (high >> 4) | ((middle >> 6) << 4);
      const byte = block[16 + (part >> 1) * 32 + (i & 31)] as number;
      return scale * factor * (part % 2 === 0 ? byte & 15 : byte >> 4) - scaleOfLeast * least;
    });
  });
}

function decodeQ6K(blocks: Buffer): number[] {
  return inBlocks(blocks, 210, (block) => {
    const scale = fromHalf(block.readUInt16LE(208));
    return Array.from({ length: 256 }, (_, i) => {
      const [half, quarter, column] = [i >> 7, (i >> 5) & 3, i & 31];
      const low = block[half * 64 + (quarter % 2) * 32 + column] as number;
      const high = (block[128 + half * 32 + column] as number) >> (2 * quarter);
      const value = (quarter < 2 ? low & 15 : low >> 4) | ((high & 3) << 4);
      return scale * block.readInt8(192 + (i >> 4)) * (value - 32);
    });
  });
}

function inBlocks(blocks: Buffer, blockBytes: number, decode: (block: Buffer) => number[]): number[] {
  return Array.from({ length: blocks.length / blockBytes }, (_, i) =>
    decode(blocks.subarray(i * blockBytes, (i + 1) * blockBytes)),
  ).flat();
}
