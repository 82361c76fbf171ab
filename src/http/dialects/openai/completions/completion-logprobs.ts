import { type Static, Type } from 'typebox';
import type { Logprobs } from '../logprobs.ts';

/** As the API for plain completions tells them: lists side by side. */
export const CompletionLogprobs = Type.Object(
  {
    tokens: Type.Array(Type.String()),
    token_logprobs: Type.Array(Type.Number()),
    top_logprobs: Type.Array(Type.Record(Type.String(), Type.Number())),
    text_offset: Type.Array(Type.Integer({ minimum: 0 })),
  },
  { title: 'PlainCompletionLogprobs' },
);
export type CompletionLogprobs = Static<typeof CompletionLogprobs>;

/** `offset`: characters before the first of them; `top`: probable ids of each that were asked for. */
export function completionLogprobs(
  { content }: Logprobs,
  { offset, top: most }: { readonly offset: number; readonly top: number },
): CompletionLogprobs {
  let at = offset;
  return {
    tokens: content.map(({ token }) => token),
    token_logprobs: content.map(({ logprob }) => logprob),
    top_logprobs: content.map(({ top_logprobs: top }) =>
      Object.fromEntries(top.slice(0, most).map(({ token, logprob }) => [token, logprob])),
    ),
    text_offset: content.map(({ token }) => {
      const begins = at;
      at += token.length;
      return begins;
    }),
  };
}
