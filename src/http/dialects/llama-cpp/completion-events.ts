import { Type } from 'typebox';
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

const CompletionFailure = Type.Object(llamaCppErrorOf([...OF_A_TURN, 'internal_error']).properties, {
  title: 'CompletionFailure',
  description: 'The last event of a reply that could not be finished.',
});

/** The data of an event of a streamed reply: any number of parts, then the whole reply without its text, or what went wrong. */
export const CompletionEvent = Type.Union([CompletionPart, CompletionReply, CompletionFailure], {
  title: 'CompletionEvent',
  description:
    'The data of one event: any number of parts, then the whole reply with empty `content`, or what went wrong.',
});
