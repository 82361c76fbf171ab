import { type Static, Type } from 'typebox';
import type { ReplyOptions } from '../../../context-manager/turn/turn.ts';

/** Most stop words a request may name; llama-server checks each of them at every token. */
const STOP_WORDS_MAX = 16;
const stopWord = Type.String({ maxLength: 256 });
/** Replies to one request: each is generated and stored by itself. */
export const CHOICES_MAX = 8;
/** Ids that a bias may be given for: OpenAI's own bound. */
const BIASES_MAX = 1_024;

/** OpenAI's fields that steer sampling, the same for chats and plain completions. */
export const SamplingFields = {
  temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2 })),
  top_p: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  presence_penalty: Type.Optional(Type.Number({ minimum: -2, maximum: 2 })),
  frequency_penalty: Type.Optional(Type.Number({ minimum: -2, maximum: 2 })),
  logit_bias: Type.Optional(
    Type.Record(Type.String({ pattern: '^[0-9]+$' }), Type.Number({ minimum: -100, maximum: 100 }), {
      maxProperties: BIASES_MAX,
      description: 'By id, as `/tokenize` gives them.',
    }),
  ),
  seed: Type.Optional(Type.Integer({ description: 'Of the first choice; the next ones have the numbers after it.' })),
  stop: Type.Optional(Type.Union([stopWord, Type.Array(stopWord, { maxItems: STOP_WORDS_MAX })])),
  n: Type.Optional(Type.Integer({ minimum: 1, maximum: CHOICES_MAX, description: 'How many replies.' })),
};

/** llama.cpp's further sampling parameters, under their own names; the LLM Service says which it honours. */
export const LLAMA_CPP_FIELDS = [
  ...['top_k', 'min_p', 'typical_p', 'xtc_probability', 'xtc_threshold', 'top_n_sigma', 'min_keep'],
  ...['dynatemp_range', 'dynatemp_exponent', 'repeat_penalty', 'repeat_last_n', 'ignore_eos', 'grammar', 'json_schema'],
  ...['mirostat', 'mirostat_tau', 'mirostat_eta', 'samplers', 'dry_multiplier', 'dry_base', 'dry_allowed_length'],
  ...['dry_penalty_last_n', 'dry_sequence_breakers'],
] as const;

type Sampled = Static<ReturnType<typeof Type.Object<typeof SamplingFields>>> & {
  readonly [Name in (typeof LLAMA_CPP_FIELDS)[number]]?: unknown;
};

/** For the `choice`th of the replies, from 0. `probabilities`: most probable ids to tell of, at each id of the reply. */
export function samplingOf(
  body: Sampled,
  { choice, probabilities }: { readonly choice: number; readonly probabilities: number | undefined },
): Pick<ReplyOptions, 'sampling' | 'stop'> {
  const { temperature, top_p, presence_penalty, frequency_penalty, logit_bias, seed, stop = [] } = body;
  const further = LLAMA_CPP_FIELDS.map((name) => [name, body[name]] as const);
  const named = Object.entries({
    ...{ temperature, top_p, presence_penalty, frequency_penalty },
    seed: seed === undefined ? undefined : seed + choice,
    logit_bias: logit_bias && Object.entries(logit_bias).map(([id, bias]) => [Number(id), bias]),
    n_probs: probabilities,
  });
  return {
    sampling: Object.fromEntries([...named, ...further].filter(([, value]) => value !== undefined)),
    stop: (typeof stop === 'string' ? [stop] : stop).filter((word) => word !== ''),
  };
}
