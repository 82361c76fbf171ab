import { DiscedgeError } from '../../domain/errors.ts';
import type { TurnNumber } from '../../domain/identifiers.ts';
import type { SessionHistory } from '../../domain/session-history.ts';
import type { TurnClaim } from '../../domain/turn-decision.ts';
import { requestDigest } from './request-digest.ts';
import type { TurnRequest } from './turn.ts';

/**
 * What a request says about its place in the session. One that names its context needs no turn number; one that names
 * neither opens a session, or asks again for its first turn. Throws `invalid_request` when that leaves a doubt.
 */
export function turnClaim(request: TurnRequest, history: SessionHistory): TurnClaim {
  const { contextId } = request;
  const turn = request.turn ?? impliedTurn(request, history);
  if (turn === 1 && contextId !== undefined) {
    throw new DiscedgeError('invalid_request', 'turn 1 opens a session and has no context_id before it', {
      param: 'context_id',
    });
  }
  return {
    turn,
    contextId,
    digest: requestDigest(request, turn),
    mode: request.mode === 'client-side' ? undefined : request.mode,
  };
}

function impliedTurn(request: TurnRequest, history: SessionHistory): TurnNumber {
  if (request.contextId !== undefined) {
    const base = history.get(request.contextId);
    if (base !== undefined) return (base.record.turn + 1) as TurnNumber;
    throw new DiscedgeError(
      'invalid_request',
      'this node does not know the context_id; send turn with it, so that the node can wait for it',
      { param: 'turn' },
    );
  }
  const opening = 1 as TurnNumber;
  if (history.size === 0 || history.answering(requestDigest(request, opening)).length > 0) return opening;
  throw new DiscedgeError(
    'invalid_request',
    'turn is needed from turn 2 on: it is how the node knows that it holds all you have seen',
    { param: 'turn' },
  );
}
