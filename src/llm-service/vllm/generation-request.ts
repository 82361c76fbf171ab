import type { GenerationRequest } from '../llm-service.ts';
import type { ReadSampling } from './sampling.ts';

/**
 * `generate`: `/inference/v1/generate`, tokens in and out, which a server has with `--enable-scale-out`. `completions`:
 * `/v1/completions` with `return_token_ids`.
 */
export type VllmApi = 'generate' | 'completions';

export const PATHS: Readonly<Record<VllmApi, string>> = {
  generate: 'inference/v1/generate',
  completions: 'v1/completions',
};

export interface RequestParts {
  /** Its name at the server. */
  readonly model: string;
  readonly read: ReadSampling;
  readonly maxTokens: number;
  /** Ids that end the reply. */
  readonly stopIds: readonly number[];
  readonly cacheSalt: string | undefined;
}

/** The JSON text of a request for a reply. */
export function requestBody(
  api: VllmApi,
  { prompt, stop, stream }: Pick<GenerationRequest, 'prompt' | 'stop' | 'stream'>,
  { model, read, maxTokens, stopIds, cacheSalt }: RequestParts,
): string {
  const { sampling, probabilities } = read;
  const words = stop.filter((word) => word !== '');
  const parameters = {
    ...sampling,
    max_tokens: maxTokens,
    // vLLM knows the model's own end; of the ids that the vocabulary calls one it may know fewer.
    ...(sampling.ignore_eos ? {} : { stop_token_ids: stopIds }),
    ...(words.length === 0 ? {} : { stop: words }),
  };
  const rest = {
    model,
    stream,
    ...(stream && { stream_options: { include_usage: true } }),
    ...(cacheSalt !== undefined && { cache_salt: cacheSalt }),
    ...(api === 'generate'
      ? { output_mode: 'text', sampling_params: parameters }
      : {
          ...parameters,
          return_token_ids: true,
          ...(probabilities > 0 && { logprobs: probabilities, return_tokens_as_token_ids: true }),
        }),
  };
  const name = api === 'generate' ? 'token_ids' : 'prompt';
  // A lone surrogate is no JSON to it. Ids need no such care, and there are thousands.
  const text = JSON.stringify(rest, (_, value) => (typeof value === 'string' ? value.toWellFormed() : value));
  return `{"${name}":${JSON.stringify(prompt)},${text.slice(1)}`;
}
