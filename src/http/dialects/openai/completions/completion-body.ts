import { type Static, Type } from 'typebox';
import { ModelChoice } from '../../../requests/model-choice.ts';
import type { Parameters } from '../../../requests/parameters.ts';
import { modelText, tokenId } from '../../../requests/request-fields.ts';
import { LLAMA_CPP_FIELDS, SamplingFields } from '../sampling.ts';

/** Prompts in one request: each is evaluated and answered by itself. */
export const PROMPTS_MAX = 16;
const LOGPROBS_MAX = 5;

const ids = () => Type.Array(tokenId(), { minItems: 1 });

/** OpenAI's create of plain completions: prompts as they are, control tokens and all; nothing is stored. */
export const CompletionBody = Type.Object(
  {
    ...ModelChoice,
    prompt: Type.Union(
      [
        modelText(),
        Type.Array(modelText(), { minItems: 1, maxItems: PROMPTS_MAX }),
        ids(),
        Type.Array(ids(), { minItems: 1, maxItems: PROMPTS_MAX }),
      ],
      { description: 'A text, several, ids, or several lists of ids.' },
    ),
    ...SamplingFields,
    max_tokens: Type.Optional(
      Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'Most tokens to reply with.' }),
    ),
    echo: Type.Optional(Type.Boolean({ description: 'Begin each text with its prompt.' })),
    logprobs: Type.Optional(Type.Integer({ minimum: 0, maximum: LOGPROBS_MAX })),
    stream: Type.Optional(Type.Boolean()),
    stream_options: Type.Optional(
      Type.Object({
        include_usage: Type.Optional(Type.Boolean()),
        include_obfuscation: Type.Optional(Type.Literal(false)),
      }),
    ),
    user: Type.Optional(
      Type.String({ description: 'Whom a service acts for: nothing is kept, but it counts within limits.' }),
    ),
  },
  { additionalProperties: true, title: 'PlainCompletionRequest' },
);
export type CompletionBody = Static<typeof CompletionBody>;

export const COMPLETION_PARAMETERS: Parameters = {
  known: [...Object.keys(CompletionBody.properties), ...LLAMA_CPP_FIELDS],
  refused: {
    best_of: 'every reply is given; ask for n',
    suffix: 'text is gone on with, not filled in',
  },
};
