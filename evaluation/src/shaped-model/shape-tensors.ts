import { kvWidth, type ModelShape } from './model-shape.ts';
import { F32, type WeightFormat } from './weight-format.ts';
import { type MatrixPlace, type WeightType, weightFormat } from './weight-type.ts';

/** One tensor of a model, its weights drawn evenly around `mean`. */
export interface ShapedTensor {
  /** As llama.cpp calls it. */
  readonly name: string;
  /** Weights of one row, then the number of rows; a vector has no second number. */
  readonly dimensions: readonly [number] | readonly [number, number];
  readonly format: WeightFormat;
  /** Standard deviation; 0 makes every weight 1, as in a fresh norm. */
  readonly deviation: number;
}

/** Rows of it belong to ids: those of ids the model must not say are made 0. */
export const OUTPUT_TENSOR = 'output.weight';

/**
 * Standard deviations, found by trial: what flows through the network stays near 1 whatever its shape, and attention picks
 * a few ids of the whole context out, so that a reply does not run in a circle. The price is that a rounding difference
 * can turn a reply into another, as between a cached and an uncached prompt.
 */
const DEVIATION = {
  embedding: 0.3,
  /** Of queries and keys; that of attention scores is its square. */
  attentionInput: 2.6,
  values: 1,
  bias: 0.2,
  /** Of the words' logits. Every other id has 0: never the largest, and at temperature 1 an end in a million ids at most. */
  output: 6,
};

/** The tensors of a qwen2 model in the order of the file. Its output has weights of its own, not the embedding's. */
export function shapeTensors(shape: ModelShape, vocabularySize: number, type: WeightType): ShapedTensor[] {
  const { layers, hidden, feedForward } = shape;
  const keys = kvWidth(shape);
  /** `gain` is the deviation of what comes out when the input's is 1. */
  const matrix = (name: MatrixPlace['name'], inputs: number, outputs: number, gain: number, layer?: number) => ({
    name: layer === undefined ? `${name}.weight` : `blk.${layer}.${name}.weight`,
    dimensions: [inputs, outputs] as const,
    format: weightFormat(type, { name, layer: layer ?? 0, layers }),
    deviation: gain / Math.sqrt(inputs),
  });
  const vector = (name: string, length: number, deviation: number) => ({
    name,
    dimensions: [length] as const,
    format: F32,
    deviation,
  });
  const { embedding, attentionInput, values, bias, output } = DEVIATION;
  const tensors: ShapedTensor[] = [
    matrix('token_embd', hidden, vocabularySize, embedding * Math.sqrt(hidden)),
    vector('output_norm.weight', hidden, 0),
    matrix('output', hidden, vocabularySize, output),
  ];
  for (let layer = 0; layer < layers; layer++) {
    const own = (name: string) => `blk.${layer}.${name}`;
    tensors.push(
      vector(own('attn_norm.weight'), hidden, 0),
      matrix('attn_q', hidden, hidden, attentionInput, layer),
      vector(own('attn_q.bias'), hidden, bias),
      matrix('attn_k', hidden, keys, attentionInput, layer),
      vector(own('attn_k.bias'), keys, bias),
      matrix('attn_v', hidden, keys, values, layer),
      vector(own('attn_v.bias'), keys, bias),
      matrix('attn_output', hidden, hidden, 1, layer),
      vector(own('ffn_norm.weight'), hidden, 0),
      matrix('ffn_gate', hidden, feedForward, 1, layer),
      matrix('ffn_up', hidden, feedForward, 1, layer),
      matrix('ffn_down', feedForward, hidden, 1, layer),
    );
  }
  return tensors;
}
