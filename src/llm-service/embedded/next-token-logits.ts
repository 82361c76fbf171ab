import type { Llama, LlamaContext, LlamaContextSequence, LlamaModel, SequenceEvaluateOptions } from 'node-llama-cpp';
import type { TokenId } from '../../domain/token-sequence.ts';

/** An id and its logit. */
export type Candidate = readonly [id: TokenId, logit: number];

/** What the model says of the next id, with nothing done to it. */
export interface NextTokenLogits {
  /** The most probable ids, the first first. */
  readonly top: readonly Candidate[];
  /** The logit of the id that was asked about. */
  readonly asked: number;
  /** ln Σ exp(logit) over the whole vocabulary: what a logit lacks to be the logarithm of a probability. */
  readonly logTotal: number;
}

/** node-llama-cpp's sampler and the call that it samples with, as far as they are used here; not part of its API. */
interface AddonSampler {
  applyConfig(config: Readonly<Record<string, unknown>>): void;
  dispose(): void;
}
type ResolveConfig = (options: SequenceEvaluateOptions) => Readonly<Record<string, unknown>>;
type SampleToken = (
  logitsAt: number,
  sampler: AddonSampler,
  probabilities: boolean,
  confidence: boolean,
  logits: boolean | readonly [ids: readonly number[], highest: boolean, lowest: boolean, sampled: boolean, top: number],
  totalWeight: boolean,
) => Promise<readonly [token: number, unknown, unknown, logits: readonly number[], totalWeight: number]>;

/**
 * Reads logits where node-llama-cpp samples, at a cost that grows with the vocabulary and not faster: its API gives them
 * sorted as a whole. One for each generation; at most one call at a time.
 */
export class LogitReader {
  readonly #whole: AddonSampler;
  readonly #best: AddonSampler;
  readonly #sampleToken: SampleToken;

  constructor(on: { readonly llama: Llama; readonly model: LlamaModel; readonly context: LlamaContext }) {
    const { _bindings } = on.llama as unknown as {
      _bindings: { AddonSampler: new (model: unknown) => AddonSampler };
    };
    const { _model } = on.model as unknown as { _model: unknown };
    const { _ctx } = on.context as unknown as { _ctx: { sampleToken: SampleToken } };
    this.#sampleToken = _ctx.sampleToken.bind(_ctx);
    this.#whole = new _bindings.AddonSampler(_model);
    this.#whole.applyConfig({ temperature: 0 });
    this.#best = new _bindings.AddonSampler(_model);
  }

  /** The `count` (at least 1) most probable ids, and `id`, sampled or not. */
  async read(logitsAt: number, count: number, id: TokenId): Promise<NextTokenLogits> {
    // Not both in one call: asked for the best ones it would sort the vocabulary, which llama.cpp's top-k does not.
    const [, , , asked, weight] = await this.#sampleToken(
      ...([logitsAt, this.#whole, false, false, [[id], false, false, false, 0], true] as const),
    );
    this.#best.applyConfig({ temperature: 1, topK: count, seed: 0 });
    const [, , , best] = await this.#sampleToken(logitsAt, this.#best, false, false, true, false);
    const top = candidates(best);
    return { top, asked: asked[1] as number, logTotal: (top[0] as Candidate)[1] + Math.log(weight) };
  }

  /** What top-k leaves, the most probable first, with biases and penalties applied, but no temperature. */
  async best(logitsAt: number, sequence: LlamaContextSequence, options: SequenceEvaluateOptions): Promise<Candidate[]> {
    const { _resolveSamplerConfig: resolve } = sequence as unknown as { _resolveSamplerConfig: ResolveConfig };
    const { xtc: _, ...rest } = options;
    this.#best.applyConfig(resolve.call(sequence, { ...rest, temperature: 1, topP: 1, minP: 0 }));
    const [, , , best] = await this.#sampleToken(logitsAt, this.#best, false, false, true, false);
    return candidates(best ?? []);
  }

  dispose(): void {
    this.#whole.dispose();
    this.#best.dispose();
  }
}

function candidates(flat: readonly number[]): Candidate[] {
  const pairs: Candidate[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([flat[i] as TokenId, flat[i + 1] as number]);
  return pairs.sort((a, b) => b[1] - a[1]);
}
