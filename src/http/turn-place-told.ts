import { type Static, Type } from 'typebox';
import type { Reply, TurnReply } from '../context-manager/turn/turn.ts';
import { ContextTold, contextTold } from './context-told.ts';
import { defined } from './defined.ts';

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
    ...ContextTold,
    exact_ids: Type.Boolean(),
  },
  { title: 'TurnPlace', description: 'Absent where nothing is stored.' },
);

export function placeTold(reply: PlacedReply, node: string): { discedge?: Static<typeof TurnPlaceTold> } {
  const { sessionId, turn, contextId, basedOnTurn = 0, replayed = false, arbitrated } = reply;
  if (sessionId === undefined || turn === undefined || contextId === undefined) return {};
  return {
    discedge: defined({
      ...{ session_id: sessionId, turn, context_id: contextId, node },
      ...{ based_on_turn: basedOnTurn, replayed, arbitrated },
      ...contextTold(reply),
      exact_ids: reply.exact,
    }),
  };
}
