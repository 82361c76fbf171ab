import { type Static, Type } from 'typebox';
import type { ForwardedReply, ReplyPiece } from '../../../../context-manager/turn/turn.ts';
import type { DiscedgeError } from '../../../../domain/errors.ts';
import { OF_A_MODEL } from '../../../possible-errors.ts';
import { choice } from '../../../requests/request-fields.ts';
import type { TurnStream } from '../../../serve-turn.ts';
import { openAiErrorFields, openAiErrorOf } from '../error-envelope.ts';
import { logprobsIn } from '../logprobs.ts';
import { Usage, usageOf } from '../usage.ts';
import type { CompletionBody } from './completion-body.ts';
import { CompletionLogprobs, completionLogprobs } from './completion-logprobs.ts';

/** A whole reply and the chunks of a streamed one have the same form. */
export const PlainCompletion = Type.Object(
  {
    id: Type.String(),
    object: choice(['text_completion']),
    created: Type.Integer({ description: 'In seconds since 1970.' }),
    model: Type.String(),
    choices: Type.Array(
      Type.Object({
        index: Type.Integer({ minimum: 0, description: 'Those of the first prompt come first.' }),
        text: Type.String(),
        logprobs: Type.Union([CompletionLogprobs, Type.Null()]),
        finish_reason: Type.Union([choice(['stop', 'length']), Type.Null()], {
          description: 'Null in a chunk that is not the last of its choice.',
        }),
      }),
    ),
    usage: Type.Optional(Usage),
  },
  { title: 'PlainCompletion' },
);
export type PlainCompletion = Static<typeof PlainCompletion>;

export const PlainCompletionEvent = Type.Union(
  [
    PlainCompletion,
    Type.Object(openAiErrorOf([...OF_A_MODEL, 'internal_error']).properties, {
      title: 'PlainCompletionFailure',
      description: 'The last event of a reply that had begun and could not be finished.',
    }),
    Type.Literal('[DONE]'),
  ],
  { title: 'PlainCompletionEvent', description: 'The data of one event.' },
);

export interface CompletionHead {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

/** One reply, and which of its prompt's it is. */
export interface PromptReply {
  readonly reply: ForwardedReply;
  readonly choice: number;
}

export function plainCompletion(
  head: CompletionHead,
  replies: readonly PromptReply[],
  { echo, logprobs }: CompletionBody,
): PlainCompletion {
  const choices = replies.map(({ reply }, index) => {
    const before = echo ? (reply.promptText ?? '') : '';
    const told = logprobs === undefined ? undefined : logprobsIn(reply.fields);
    return {
      index,
      text: before + reply.text,
      logprobs: told === undefined ? null : completionLogprobs(told, { offset: before.length, top: logprobs ?? 0 }),
      finish_reason: finishReason(reply),
    };
  });
  return { ...head, object: 'text_completion', choices, usage: usageOfPrompts(replies) };
}

/** The pieces of several replies come side by side: whose the next one is, is said before it. */
export class CompletionStream implements TurnStream<readonly PromptReply[]> {
  readonly #head: CompletionHead;
  readonly #body: CompletionBody;
  readonly #lengths: number[] = [];
  #index = 0;

  constructor(head: CompletionHead, body: CompletionBody) {
    this.#head = head;
    this.#body = body;
  }

  next(index: number): void {
    this.#index = index;
  }

  part({ text, fields }: Pick<ReplyPiece, 'text' | 'fields'>) {
    const { logprobs: top } = this.#body;
    const told = top === undefined ? undefined : logprobsIn(fields);
    if (text === '' && told === undefined) return [];
    const offset = this.#lengths[this.#index] ?? 0;
    this.#lengths[this.#index] = offset + text.length;
    const logprobs = told === undefined ? null : completionLogprobs(told, { offset, top: top ?? 0 });
    return [this.#chunk({ index: this.#index, text, logprobs, finish_reason: null })];
  }

  end(replies: readonly PromptReply[]) {
    const ends = replies.map(({ reply }, index) =>
      this.#chunk({ index, text: '', logprobs: null, finish_reason: finishReason(reply) }),
    );
    const usage = this.#body.stream_options?.include_usage
      ? [{ data: { ...this.#head, object: 'text_completion', choices: [], usage: usageOfPrompts(replies) } }]
      : [];
    return [...ends, ...usage, { data: '[DONE]' }];
  }

  error(error: DiscedgeError) {
    return [{ data: { error: openAiErrorFields(error) } }];
  }

  #chunk(choice: PlainCompletion['choices'][number]) {
    return { data: { ...this.#head, object: 'text_completion', choices: [choice] } };
  }
}

function finishReason({ stop }: ForwardedReply): 'stop' | 'length' {
  return stop.kind === 'limit' ? 'length' : 'stop';
}

function usageOfPrompts(replies: readonly PromptReply[]): Usage {
  const firsts = replies.filter(({ choice }) => choice === 0);
  return usageOf(
    replies.map(({ reply }) => reply),
    firsts.map(({ reply }) => reply),
  );
}
