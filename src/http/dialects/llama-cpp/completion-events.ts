import { type Static, Type } from 'typebox';
import type { DiscedgeError } from '../../../domain/errors.ts';
import { TOKEN_ID_MAX } from '../../../domain/token-sequence.ts';
import { OF_A_TURN } from '../../possible-errors.ts';
import { CompletionReply } from './completion-reply.ts';
import { llamaCppErrorOf } from './error-envelope.ts';

const CompletionPart = Type.Object(
  {
    index: Type.Integer(),
    content: Type.String({ description: 'A piece of the reply; may be empty.' }),
    tokens: Type.Array(Type.Integer({ minimum: 0, maximum: TOKEN_ID_MAX })),
    stop: Type.Literal(false),
  },
  { additionalProperties: true, title: 'CompletionPart' },
);

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

export function completionFailure({
  status,
  message,
  code,
  param,
  retry,
  retryAfterMs,
}: DiscedgeError): CompletionFailure {
  return {
    error: {
      ...{ code: status, message, type: code, retry },
      ...(param !== undefined && { param }),
      ...(retryAfterMs !== undefined && { retry_after_ms: retryAfterMs }),
    },
  };
}

/** The data of an event of a streamed reply: any number of parts, then the whole reply without its text, or what went wrong. */
export const CompletionEvent = Type.Union([CompletionPart, CompletionReply, CompletionFailure], {
  title: 'CompletionEvent',
  description:
    'The data of one event: any number of parts, then the whole reply with empty `content`, or what went wrong.',
});
