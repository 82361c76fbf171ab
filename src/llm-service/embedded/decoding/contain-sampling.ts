import type { LlamaContext } from 'node-llama-cpp';
import { aroundDecoding } from './decoding.ts';

/** Sampling failed in llama.cpp: no token was left, or none that the grammar goes on with. */
export class SamplingFailed extends Error {
  override readonly name = 'SamplingFailed';
}

/** The value that node-llama-cpp's own sampler has for "none". */
const NO_TOKEN = -1;

/**
 * Gives an error of sampling to the generation that it belongs to. node-llama-cpp samples in a callback that nobody waits
 * for: what is thrown there would end the process as an unhandled rejection, and leave the other sequences of the same
 * batch waiting for ever. Throws as {@link aroundDecoding}.
 */
export function containSampling(context: LlamaContext): void {
  aroundDecoding(context, (decode) => async (request, sample) => {
    const failures: unknown[] = [];
    const contained =
      <A extends readonly unknown[]>(step: (...args: A) => unknown, otherwise: unknown) =>
      async (...args: A) => {
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
  });
}
