import { type Static, Type } from 'typebox';
import type { Reply } from '../../../context-manager/turn/turn.ts';

const count = (description?: string) => Type.Integer({ minimum: 0, ...(description !== undefined && { description }) });

export const Usage = Type.Object(
  {
    prompt_tokens: count('Of the whole prompt; 0 for a reply that was answered from its record.'),
    completion_tokens: count(),
    total_tokens: count(),
    prompt_tokens_details: Type.Object({
      cached_tokens: count('Of the prompt, those that the engine found in its KV cache.'),
    }),
  },
  { title: 'Usage' },
);
export type Usage = Static<typeof Usage>;

type Counted = Pick<Reply, 'promptTokens' | 'usage'>;

/** Of all replies to one request together. A prompt is counted once, whatever the number of its replies: `prompts` has one of each. */
export function usageOf(replies: readonly Counted[], prompts: readonly Counted[] = replies.slice(0, 1)): Usage {
  const sum = (some: readonly Counted[], of: (one: Counted) => number) => some.reduce((all, one) => all + of(one), 0);
  const prompt_tokens = sum(prompts, ({ promptTokens }) => promptTokens);
  const completion_tokens = sum(replies, ({ usage }) => usage.predictedTokens);
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details: { cached_tokens: sum(prompts, ({ usage }) => usage.cachedTokens) },
  };
}
