import { DiscedgeError } from '../../domain/errors.ts';
import { SamplingFailed } from './decoding/contain-sampling.ts';
import type { EmbeddedGeneration } from './generation.ts';

/** A grammar that has come to its end, or that the biases leave no token of, is the request's; anything else is not. */
export function failed(error: unknown, { grammar, sampling }: EmbeddedGeneration): DiscedgeError {
  if (!(error instanceof SamplingFailed))
    return new DiscedgeError('llm_unavailable', 'llama.cpp could not evaluate this prompt', { cause: error });
  const param = grammar === undefined ? 'logit_bias' : 'grammar';
  const constrained = grammar !== undefined || sampling.ignoreEos || sampling.logitBias.length > 0;
  if (!constrained) return new DiscedgeError('llm_unavailable', 'llama.cpp could not sample a token', { cause: error });
  return new DiscedgeError('invalid_request', 'grammar, logit_bias and ignore_eos leave no token to go on with', {
    param,
    cause: error,
  });
}

export function closed(): DiscedgeError {
  return new DiscedgeError('llm_unavailable', 'the embedded LLM Service is closed');
}
