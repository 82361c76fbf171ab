import { Type } from 'typebox';
import type { TurnReply } from '../context-manager/turn/turn.ts';
import { SEARCHES } from '../domain/record/retrieved.ts';
import { LayersTold, layersTold } from './layers-told.ts';
import { choice } from './requests/request-fields.ts';

/** What of a turn's reply says how its model read the context; nothing of it where nothing was read. */
export type ReadContext = Partial<
  Pick<TurnReply, 'droppedTurns' | 'summarized' | 'retrievedTurns' | 'retrievedBy' | 'rewrittenTokens' | 'layers'>
>;

/** What every reply tells of the context that the model read: what was left out of it, what stood for that, what stood before it. */
export const ContextTold = {
  dropped_turns: Type.Integer({
    minimum: 0,
    description: 'Turns at the beginning of the session that the model no longer saw, and that nothing stood for.',
  }),
  summarized_turns: Type.Optional(
    Type.Integer({
      minimum: 1,
      description: 'Turns that a summary stood for in the prompt; absent where none did.',
    }),
  ),
  summary_tokens: Type.Optional(
    Type.Integer({ minimum: 0, description: 'Ids of the summary; absent where no ids are kept.' }),
  ),
  summary_made: Type.Optional(
    choice(['now', 'ahead', 'before'], {
      description:
        '`now`: the turn has waited for it. `ahead`: it was there when it was needed. `before`: an earlier turn began with it, or this is a replay.',
    }),
  ),
  retrieved_turns: Type.Optional(
    Type.Array(Type.Integer({ minimum: 1 }), {
      description:
        'Turns that were left out and of which the model read again what was said; absent where there are none.',
    }),
  ),
  retrieved_by: Type.Optional(
    choice(SEARCHES, {
      description:
        'How `retrieved_turns` were found: by words alone, or by the vectors of an embeddings server as well.',
    }),
  ),
  tokens_rewritten: Type.Integer({
    minimum: 0,
    description:
      'Ids of the context so far that are evaluated again because the chat template has earlier turns otherwise.',
  }),
  layers: Type.Optional(LayersTold),
};

export function contextTold(read: ReadContext) {
  const { droppedTurns, summarized, retrievedTurns, retrievedBy, rewrittenTokens, layers } = read;
  return {
    dropped_turns: droppedTurns ?? 0,
    summarized_turns: summarized?.turns,
    summary_tokens: summarized?.tokens,
    summary_made: summarized?.made,
    retrieved_turns: retrievedTurns && [...retrievedTurns],
    retrieved_by: retrievedBy,
    tokens_rewritten: rewrittenTokens ?? 0,
    layers: layersTold(layers),
  };
}

/** Whether the model read the conversation word for word, and nothing else before it. */
export function isWholeConversation({ droppedTurns = 0, summarized, layers }: ReadContext): boolean {
  return droppedTurns === 0 && summarized === undefined && layers === undefined;
}
