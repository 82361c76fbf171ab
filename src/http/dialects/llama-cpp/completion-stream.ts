import type { TurnStream } from '../../serve-turn.ts';
import type { CompletionBody } from './completion-body.ts';
import { type CompletionPart, completionFailure } from './completion-events.ts';
import { type Answered, completionReply } from './completion-reply.ts';
import { onlyFields } from './response-fields.ts';
import { timingsOf } from './timings.ts';

/** What a turn resolves with: all that its reply is made of but what is known of the request. */
export type Done = Omit<Answered, 'requestBytes'>;

/** A part does not say which slot works on it; the end does. */
const SLOT_UNTOLD = -1;

/** The events of one reply, as llama.cpp sends them. */
export function completionStream(body: CompletionBody): TurnStream<Done> {
  let predicted = 0;
  const part = (fields: Pick<CompletionPart, 'content' | 'tokens' | 'tokens_evaluated'>): CompletionPart => ({
    index: 0,
    content: fields.content,
    tokens: fields.tokens,
    stop: false,
    id_slot: SLOT_UNTOLD,
    tokens_predicted: predicted,
    tokens_evaluated: fields.tokens_evaluated,
  });
  return {
    progress({ promptTokens, cachedTokens, processedTokens, elapsedMs }) {
      const progress = {
        total: promptTokens,
        cache: cachedTokens,
        processed: processedTokens,
        time_ms: Math.round(elapsedMs),
      };
      const empty = part({ content: '', tokens: [], tokens_evaluated: promptTokens });
      return [{ data: { ...empty, prompt_progress: progress } }];
    },
    part({ text, ids, promptTokens, usage, fields }) {
      if (text === '' && ids.length === 0) return [];
      predicted += ids.length;
      const piece = part({ content: text, tokens: [...ids], tokens_evaluated: promptTokens });
      return [{ data: { ...fields, ...piece, ...(usage && { timings: timingsOf(usage) }) } }];
    },
    end(done, told) {
      const reply = { ...completionReply({ ...done, ...told }), content: '' };
      return [{ data: onlyFields(reply, body.response_fields ?? []) }];
    },
    error: (error) => [{ data: completionFailure(error) }],
  };
}
