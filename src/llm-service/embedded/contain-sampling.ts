import type { LlamaContext } from 'node-llama-cpp';

/** Sampling failed in llama.cpp: no token was left, or none that the grammar goes on with. */
export class SamplingFailed extends Error {
  override readonly name = 'SamplingFailed';
}

type Sample = (...args: readonly unknown[]) => unknown;

/** What node-llama-cpp's context does for each sequence, as far as it is used here; not part of its API. */
interface Decoding {
  _decodeTokens(
    request: { readonly afterBatchAction?: Sample | undefined },
    sample: Sample,
  ): Promise<ReadonlyArray<unknown>>;
}

/** The value that node-llama-cpp's own sampler has for "none". */
const NO_TOKEN = -1;

/**
 * Gives an error of sampling to the generation that it belongs to. node-llama-cpp samples in a callback that nobody waits
 * for: what is thrown there would end the process as an unhandled rejection, and leave the other sequences of the same
 * batch waiting for ever. Throws TypeError where the library has no such callback any more.
 */
export function containSampling(context: LlamaContext): void {
  const decoding = context as unknown as Decoding;
  if (typeof decoding._decodeTokens !== 'function') throw new TypeError('node-llama-cpp decodes in another way now');
  const decode = decoding._decodeTokens.bind(context);
  decoding._decodeTokens = async (request, sample) => {
    const failures: unknown[] = [];
    const contained =
      (step: Sample, otherwise: unknown): Sample =>
      async (...args) => {
        try {
          return await step(...args);
        } catch (error) {
          failures.push(error);
          return otherwise;
        }
      };
    const { afterBatchAction } = request;
    const tokens = await decode(
      afterBatchAction === undefined
        ? request
        : { ...request, afterBatchAction: contained(afterBatchAction, undefined) },
      contained(sample, NO_TOKEN),
    );
    if (failures.length > 0) throw new SamplingFailed('llama.cpp could not sample a token', { cause: failures[0] });
    return tokens;
  };
}
