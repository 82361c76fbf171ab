import type { LlamaContext, LlamaContextSequence } from 'node-llama-cpp';
import type { TokenId } from '../../../domain/token-sequence.ts';
import { aroundDecoding } from './decoding.ts';

/**
 * What is done where an id is sampled: after a batch was evaluated, before its logits are overwritten by the next one.
 * `sample` is node-llama-cpp's own sampling; `logitsAt` says where in the batch the logits are. Returns the id to go on with.
 */
export type SamplingStep = (sample: () => Promise<TokenId>, logitsAt: number) => Promise<TokenId>;

/** Puts steps around what node-llama-cpp samples, a generation's on its own sequence. */
export class SamplingSteps {
  readonly #steps = new Map<number, SamplingStep>();

  /** Throws as {@link aroundDecoding}. */
  constructor(context: LlamaContext) {
    aroundDecoding(context, (decode) => (request, sample) => {
      const step = this.#steps.get(request.sequenceId);
      if (step === undefined) return decode(request, sample);
      return decode(request, (logitsAt, ...rest) =>
        step(async () => (await sample(logitsAt, ...rest)) as TokenId, logitsAt),
      );
    });
  }

  /** `step` is taken on `sequence` until the returned function is called; one that is taken already is what it samples with. */
  on(sequence: LlamaContextSequence, step: SamplingStep): () => void {
    const { _sequenceId: id } = sequence as unknown as { _sequenceId: number };
    const inner = this.#steps.get(id);
    if (inner === undefined) this.#steps.set(id, step);
    else this.#steps.set(id, (sample, logitsAt) => step(() => inner(sample, logitsAt), logitsAt));
    return () => {
      if (inner === undefined) this.#steps.delete(id);
      else this.#steps.set(id, inner);
    };
  }
}
