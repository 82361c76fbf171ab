import { type Static, Type } from 'typebox';
import type { DiscedgeError } from '../../../domain/errors.ts';
import { TOKEN_ID_MAX } from '../../../domain/token-sequence.ts';
import { OF_A_TURN } from '../../possible-errors.ts';
import { CompletionReply } from './completion-reply.ts';
import { errorFields, llamaCppErrorOf } from './error-envelope.ts';
import { Timings } from './timings.ts';

const CompletionPart = Type.Object(
  {
    index: Type.Integer(),
    content: Type.String({ description: 'A piece of the reply; may be empty.' }),
    tokens: Type.Array(Type.Integer({ minimum: 0, maximum: TOKEN_ID_MAX })),
    stop: Type.Literal(false),
    id_slot: Type.Integer({ description: '−1: the last event says it.' }),
    tokens_predicted: Type.Integer({ description: 'Ids of the reply so far.' }),
    tokens_evaluated: Type.Integer({ description: 'Ids of the whole prompt.' }),
    timings: Type.Optional(Timings),
    prompt_progress: Type.Optional(
      Type.Object(
        {
          total: Type.Integer(),
          cache: Type.Integer({ description: 'Prompt ids found in the KV cache.' }),
          processed: Type.Integer({ description: 'Prompt ids that are in it by now.' }),
          time_ms: Type.Integer(),
        },
        { description: 'How far the prompt is: of an event without text before those with it.' },
      ),
    ),
  },
  { additionalProperties: true, title: 'CompletionPart' },
);
export type CompletionPart = Static<typeof CompletionPart>;

const { error } = llamaCppErrorOf([...OF_A_TURN, 'internal_error']).properties;
const CompletionFailure = Type.Object(
  {
    error: Type.Object({
      ...error.properties,
      retry: Type.Boolean({ description: 'Whether the same request can succeed.' }),
      retry_after_ms: Type.Optional(Type.Number({ description: 'When a retry makes sense, where that is known.' })),
    }),
  },
  { title: 'CompletionFailure', description: 'The last event of a reply that had begun and could not be finished.' },
);
type CompletionFailure = Static<typeof CompletionFailure>;

export function completionFailure(failure: DiscedgeError): CompletionFailure {
  const { retry, retryAfterMs } = failure;
  const whenToRetry = retryAfterMs !== undefined && { retry_after_ms: retryAfterMs };
  return { error: { ...errorFields(failure), retry, ...whenToRetry } };
}

/** The data of an event of a streamed reply: any number of parts, then the whole reply without its text, or what went wrong. */
export const CompletionEvent = Type.Union([CompletionPart, CompletionReply, CompletionFailure], {
  title: 'CompletionEvent',
  description:
    'The data of one event: any number of parts, then the whole reply with empty `content`, or what went wrong.',
});
