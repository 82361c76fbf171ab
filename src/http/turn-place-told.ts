import { type Static, Type } from 'typebox';
import type { Reply, TurnReply } from '../context-manager/turn/turn.ts';
import { SEARCHES } from '../domain/record/retrieved.ts';
import { LayersTold, layersTold } from './layers-told.ts';
import { choice } from './request-fields.ts';

/** A reply; with a place where it is stored. */
export type PlacedReply = Reply & Partial<Omit<TurnReply, keyof Reply>>;

/** What the model read a summary of. */
export const SummaryTold = {
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
};

export const RetrievedTold = Type.Optional(
  Type.Array(Type.Integer({ minimum: 1 }), {
    description:
      'Turns that were left out and of which the model read again what was said; absent where there are none.',
  }),
);

export const RetrievedByTold = Type.Optional(
  choice(SEARCHES, {
    description: 'How `retrieved_turns` were found: by words alone, or by the vectors of an embeddings server as well.',
  }),
);

/** Where in its session a reply now is, so that whoever knows of turns can go on by them. */
export const TurnPlaceTold = Type.Object(
  {
    session_id: Type.String(),
    turn: Type.Integer({ minimum: 1 }),
    context_id: Type.String(),
    based_on_turn: Type.Integer({
      minimum: 0,
      description: 'The stored turn whose exact ids it went on from; 0: none.',
    }),
    replayed: Type.Boolean({ description: 'Answered from the record.' }),
    arbitrated: Type.Optional(Type.Boolean()),
    node: Type.String(),
    dropped_turns: Type.Integer({
      minimum: 0,
      description: 'Turns that the model no longer saw, and that nothing stood for.',
    }),
    ...SummaryTold,
    retrieved_turns: RetrievedTold,
    retrieved_by: RetrievedByTold,
    tokens_rewritten: Type.Integer({
      minimum: 0,
      description: 'Ids of the context before that were evaluated again, because they stand otherwise now.',
    }),
    layers: Type.Optional(LayersTold),
    exact_ids: Type.Boolean(),
  },
  { title: 'TurnPlace', description: 'Absent where nothing is stored.' },
);

export function placeTold(reply: PlacedReply, node: string): { discedge?: Static<typeof TurnPlaceTold> } {
  const { sessionId, turn, contextId, summarized } = reply;
  if (sessionId === undefined || turn === undefined || contextId === undefined) return {};
  const layers = layersTold(reply.layers);
  return {
    discedge: {
      ...{ session_id: sessionId, turn, context_id: contextId, node },
      based_on_turn: reply.basedOnTurn ?? 0,
      replayed: reply.replayed ?? false,
      ...(reply.arbitrated !== undefined && { arbitrated: reply.arbitrated }),
      dropped_turns: reply.droppedTurns ?? 0,
      ...(summarized && {
        summarized_turns: summarized.turns,
        ...(summarized.tokens !== undefined && { summary_tokens: summarized.tokens }),
        summary_made: summarized.made,
      }),
      ...(reply.retrievedTurns && { retrieved_turns: [...reply.retrievedTurns] }),
      ...(reply.retrievedBy && { retrieved_by: reply.retrievedBy }),
      tokens_rewritten: reply.rewrittenTokens ?? 0,
      ...(layers !== undefined && { layers }),
      exact_ids: reply.exact,
    },
  };
}
