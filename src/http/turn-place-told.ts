import { type Static, Type } from 'typebox';
import type { Reply, TurnReply } from '../context-manager/turn/turn.ts';

/** A reply; with a place where it is stored. */
export type PlacedReply = Reply & Partial<Omit<TurnReply, keyof Reply>>;

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
    dropped_turns: Type.Integer({ minimum: 0, description: 'Turns at the beginning that the model no longer saw.' }),
    tokens_rewritten: Type.Integer({
      minimum: 0,
      description: 'Ids of the context before that were evaluated again, because they stand otherwise now.',
    }),
    exact_ids: Type.Boolean(),
  },
  { title: 'TurnPlace', description: 'Absent where nothing is stored.' },
);

export function placeTold(reply: PlacedReply, node: string): { discedge?: Static<typeof TurnPlaceTold> } {
  const { sessionId, turn, contextId } = reply;
  if (sessionId === undefined || turn === undefined || contextId === undefined) return {};
  return {
    discedge: {
      ...{ session_id: sessionId, turn, context_id: contextId, node },
      based_on_turn: reply.basedOnTurn ?? 0,
      replayed: reply.replayed ?? false,
      ...(reply.arbitrated !== undefined && { arbitrated: reply.arbitrated }),
      dropped_turns: reply.droppedTurns ?? 0,
      tokens_rewritten: reply.rewrittenTokens ?? 0,
      exact_ids: reply.exact,
    },
  };
}
