import { DiscedgeError } from 'discedge/internal/domain/errors';
import { nearest } from 'discedge/internal/domain/nearest';

/** What a decoder's cost depends on, beside its vocabulary and the type of its weights. */
export interface ModelShape {
  readonly layers: number;
  /** Width of the residual stream. */
  readonly hidden: number;
  readonly heads: number;
  /** Heads with keys and values of their own; what the KV cache's size goes by. */
  readonly kvHeads: number;
  /** Inner width of the feed-forward part. */
  readonly feedForward: number;
  /** Ids the model says that it was trained with. */
  readonly contextTokens: number;
}

/** Shapes of published models of llama.cpp's architecture `qwen2`. */
export const MODEL_SHAPES: Readonly<Record<string, ModelShape>> = {
  'qwen1.5-0.5b': {
    layers: 24,
    hidden: 1024,
    heads: 16,
    kvHeads: 16,
    feedForward: 2816,
    contextTokens: 32_768,
  },
  // Seven query heads share a pair of key and value heads, as in most models since: an id's KV state is an eighth of the former's.
  'qwen2.5-0.5b': {
    layers: 24,
    hidden: 896,
    heads: 14,
    kvHeads: 2,
    feedForward: 4864,
    contextTokens: 32_768,
  },
};

/** Large enough for any published model; a typing error costs a message, not a full disk. */
const BOUNDS: Readonly<Record<keyof ModelShape, number>> = {
  layers: 256,
  hidden: 16_384,
  heads: 256,
  kvHeads: 256,
  feedForward: 65_536,
  contextTokens: 1_048_576,
};

/**
 * A named shape, parts of it replaced. Fewer heads than the named shape has take as many key and value heads with them.
 * Throws `config_invalid` for an unknown name and for sizes that fit no network.
 */
export function modelShape(name: string, replaced: Partial<ModelShape> = {}): ModelShape {
  const named = MODEL_SHAPES[name];
  if (named === undefined) {
    const known = Object.keys(MODEL_SHAPES);
    const meant = nearest(name, known);
    throw invalid(
      `shape ${name} is unknown${meant === undefined ? '' : `; did you mean ${meant}?`} (known: ${known.join(', ')})`,
    );
  }
  const heads = replaced.heads ?? named.heads;
  const shape = { ...named, kvHeads: Math.min(named.kvHeads, heads), ...replaced };
  for (const [part, max] of Object.entries(BOUNDS) as [keyof ModelShape, number][]) {
    const value = shape[part];
    if (!Number.isInteger(value) || value < 1 || value > max) throw invalid(`${part} must be 1 to ${max}`);
  }
  const { hidden, kvHeads } = shape;
  if (hidden % heads !== 0) throw invalid(`hidden (${hidden}) must be a multiple of heads (${heads})`);
  if ((hidden / heads) % 2 !== 0) throw invalid(`hidden / heads (${hidden / heads}) must be even`);
  if (heads % kvHeads !== 0) throw invalid(`heads (${heads}) must be a multiple of kvHeads (${kvHeads})`);
  return shape;
}

/** Width of keys, and of values, of one id in one layer. */
export function kvWidth({ hidden, heads, kvHeads }: ModelShape): number {
  return (hidden / heads) * kvHeads;
}

function invalid(message: string): DiscedgeError {
  return new DiscedgeError('config_invalid', message);
}
