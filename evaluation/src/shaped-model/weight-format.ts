import { toHalf } from './half.ts';

/** One of llama.cpp's tensor types: how weights lie in the file, and how evenly distributed bytes become weights. */
export interface WeightFormat {
  /** GGUF's number for the type. */
  readonly ggmlType: number;
  readonly blockWeights: number;
  readonly blockBytes: number;
  /**
   * Turns whole blocks of evenly distributed bytes, in place, into weights that are evenly distributed around 0 with
   * this standard deviation. No weight is made outside of what a quantizer would write.
   */
  weights(deviation: number): (blocks: Buffer) => void;
}

const HALF_VALUES = 65_536;

export const F16: WeightFormat = {
  ggmlType: 1,
  blockWeights: 1,
  blockBytes: 2,
  weights(deviation) {
    const width = deviation * Math.sqrt(12);
    const halves = Uint16Array.from({ length: HALF_VALUES }, (_, i) => toHalf(((i + 0.5) / HALF_VALUES - 0.5) * width));
    return (blocks) => {
      // Every machine Node runs llama.cpp on is little-endian, as the file is.
      const words = new Uint16Array(blocks.buffer, blocks.byteOffset, blocks.length / 2);
      for (let at = 0; at < words.length; at++) words[at] = halves[words[at] as number] as number;
    };
  },
};

export const F32: WeightFormat = {
  ggmlType: 0,
  blockWeights: 1,
  blockBytes: 4,
  weights(deviation) {
    const width = deviation * Math.sqrt(12);
    return (blocks) => {
      for (let at = 0; at < blocks.length; at += 4) {
        blocks.writeFloatLE((blocks.readUInt32LE(at) / 2 ** 32 - 0.5) * width, at);
      }
    };
  },
};

/** 32 weights: scale as F16, then `scale × q` with q an int8. */
export const Q8_0: WeightFormat = {
  ggmlType: 8,
  blockWeights: 32,
  blockBytes: 34,
  weights(deviation) {
    const scale = toHalf(deviation / evenDeviation(255));
    return (blocks) => {
      for (let block = 0; block < blocks.length; block += 34) {
        blocks.writeUInt16LE(scale, block);
        for (let at = block + 2; at < block + 34; at++) {
          // -128 is no value of this type: a quantizer rounds to ±127.
          if (blocks[at] === 0x80) blocks[at] = 0;
        }
      }
    };
  },
};

/**
 * 256 weights: two F16 scales, eight pairs of 6-bit factors, then 4 bits q each: `d × factor × q - dmin × least`.
 * With d = dmin, factor 2 and least 15 that is d × (2q - 15): evenly spaced and even around 0.
 */
export const Q4_K: WeightFormat = {
  ggmlType: 12,
  blockWeights: 256,
  blockBytes: 144,
  weights(deviation) {
    const header = Buffer.alloc(16);
    const scale = toHalf(deviation / (2 * evenDeviation(16)));
    header.writeUInt16LE(scale, 0);
    header.writeUInt16LE(scale, 2);
    // The pairs as llama.cpp packs them: four factors, four leasts, then both of each remaining pair in one byte.
    header
      .fill(2, 4, 8)
      .fill(15, 8, 12)
      .fill((15 << 4) | 2, 12, 16);
    return (blocks) => {
      for (let block = 0; block < blocks.length; block += 144) blocks.set(header, block);
    };
  },
};

/** 256 weights: low 4 bits and high 2 bits of q, sixteen int8 factors, scale as F16: `scale × factor × (q - 32)`. */
export const Q6_K: WeightFormat = {
  ggmlType: 14,
  blockWeights: 256,
  blockBytes: 210,
  weights(deviation) {
    const trailer = Buffer.alloc(18);
    // q - 32 is -0.5 in the mean; signs in turn cancel that.
    for (let i = 0; i < 16; i++) trailer.writeInt8(i % 2 === 0 ? 1 : -1, i);
    trailer.writeUInt16LE(toHalf(deviation / evenDeviation(64)), 16);
    return (blocks) => {
      for (let block = 0; block < blocks.length; block += 210) blocks.set(trailer, block + 192);
    };
  },
};

/** Bytes of `count` weights, which must be whole blocks. */
export function encodedBytes({ blockWeights, blockBytes }: WeightFormat, count: number): number {
  return (count / blockWeights) * blockBytes;
}

/** Standard deviation of `count` equally likely values that are 1 apart. */
function evenDeviation(count: number): number {
  return Math.sqrt((count * count - 1) / 12);
}
