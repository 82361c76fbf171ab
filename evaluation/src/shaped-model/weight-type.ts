import { F16, Q4_K, Q6_K, Q8_0, type WeightFormat } from './weight-format.ts';

export const WEIGHT_TYPES = ['f16', 'q8_0', 'q4_k'] as const;
export type WeightType = (typeof WEIGHT_TYPES)[number];

/** Which matrix of a model: some types spend more bits where they matter more. */
export interface MatrixPlace {
  readonly name:
    | 'token_embd'
    | 'output'
    | 'attn_q'
    | 'attn_k'
    | 'attn_v'
    | 'attn_output'
    | 'ffn_gate'
    | 'ffn_up'
    | 'ffn_down';
  /** 0 for matrices outside the layers. */
  readonly layer: number;
  readonly layers: number;
}

/** The format of a matrix in a model of this type; `q4_k` is llama-quantize's mixture Q4_K_M. */
export function weightFormat(type: WeightType, place: MatrixPlace): WeightFormat {
  switch (type) {
    case 'f16':
      return F16;
    case 'q8_0':
      return Q8_0;
    case 'q4_k':
      return hasMoreBits(place) ? Q6_K : Q4_K;
    default:
      throw type satisfies never;
  }
}

/** GGUF's `general.file_type`. */
export const FILE_TYPE: Readonly<Record<WeightType, number>> = { f16: 1, q8_0: 7, q4_k: 15 };

/** As llama-quantize does: the output, and values and ffn_down in the first and last eighth and each third layer between. */
function hasMoreBits({ name, layer, layers }: MatrixPlace): boolean {
  if (name === 'output') return true;
  if (name !== 'attn_v' && name !== 'ffn_down') return false;
  const eighth = Math.floor(layers / 8);
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2;
}
