import { type Static, Type } from 'typebox';

const TokenLogprob = {
  token: Type.String(),
  logprob: Type.Number(),
  bytes: Type.Union([Type.Array(Type.Integer({ minimum: 0, maximum: 255 })), Type.Null()]),
};

export const Logprobs = Type.Object(
  {
    content: Type.Array(Type.Object({ ...TokenLogprob, top_logprobs: Type.Array(Type.Object(TokenLogprob)) })),
    refusal: Type.Null(),
  },
  { title: 'Logprobs' },
);
export type Logprobs = Static<typeof Logprobs>;

/** llama.cpp's `completion_probabilities`, as far as they are OpenAI's. */
interface Told {
  readonly token: string;
  readonly logprob: number;
  readonly bytes?: readonly number[];
  readonly top_logprobs?: readonly Told[];
}

/**
 * What the LLM Service has told of each id, in a reply's or a piece's further fields; `undefined` where it has told nothing, as
 * of a reply from its record.
 */
export function logprobsIn(fields: Readonly<Record<string, unknown>> | undefined): Logprobs | undefined {
  const told = fields?.completion_probabilities as readonly Told[] | undefined;
  if (told === undefined) return undefined;
  return {
    content: told.map((one) => ({ ...tokenLogprob(one), top_logprobs: (one.top_logprobs ?? []).map(tokenLogprob) })),
    refusal: null,
  };
}

function tokenLogprob({ token, logprob, bytes }: Told) {
  return { token, logprob: Math.max(logprob, LEAST), bytes: bytes === undefined ? null : [...bytes] };
}

/** OpenAI's word for what is as good as impossible; JSON has no minus infinity. */
const LEAST = -9999;
