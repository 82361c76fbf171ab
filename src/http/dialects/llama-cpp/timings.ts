import { type Static, Type } from 'typebox';
import type { GenerationUsage } from '../../../llm-service/llm-service.ts';

const count = (description?: string) => Type.Integer(description === undefined ? {} : { description });

/** llama.cpp's account of a reply: of a whole one, or of one up to a piece of it. */
export const Timings = Type.Object({
  cache_n: count('Prompt ids found in the KV cache.'),
  restored_n: count('How many of those were brought back for this reply from state that is kept.'),
  warmed_n: count('How many of the found were evaluated ahead of need and are found for the first time.'),
  prompt_n: count('Prompt ids evaluated.'),
  prompt_ms: Type.Number(),
  prompt_per_token_ms: Type.Number(),
  prompt_per_second: Type.Number(),
  predicted_n: count(),
  predicted_ms: Type.Number(),
  predicted_per_token_ms: Type.Number(),
  predicted_per_second: Type.Number(),
});
export type Timings = Static<typeof Timings>;

export function timingsOf(usage: GenerationUsage): Timings {
  return {
    cache_n: usage.cachedTokens,
    restored_n: usage.restoredTokens ?? 0,
    warmed_n: usage.warmedTokens ?? 0,
    prompt_n: usage.evaluatedTokens,
    prompt_ms: rounded(usage.promptMs),
    prompt_per_token_ms: ratio(usage.promptMs, usage.evaluatedTokens),
    prompt_per_second: ratio(usage.evaluatedTokens * 1000, usage.promptMs),
    predicted_n: usage.predictedTokens,
    predicted_ms: rounded(usage.predictedMs),
    predicted_per_token_ms: ratio(usage.predictedMs, usage.predictedTokens),
    predicted_per_second: ratio(usage.predictedTokens * 1000, usage.predictedMs),
  };
}

export function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function ratio(over: number, under: number): number {
  return under === 0 ? 0 : rounded(over / under);
}
