import { DiscedgeError } from '../domain/errors.ts';
import type { SessionId, UserId } from '../domain/identifiers.ts';
import type { Turn } from '../domain/session-history.ts';
import type { ServedModel } from './model-directory.ts';
import type { Move, MoveRequest } from './sessions/moves.ts';
import type { SeenBefore } from './sessions/seen-session.ts';
import { type WordedSession, wordedSession } from './sessions/worded-session.ts';

/** A session that is to go on with another model of the node. */
export interface ModelMoveRequest extends Pick<MoveRequest, 'newSessionId' | 'ttlSeconds' | 'account'> {
  readonly userId: UserId;
  readonly sessionId: SessionId;
  readonly from: ServedModel;
  readonly to: ServedModel;
  readonly seen: SeenBefore;
  /** Whether it is deleted where it was, once all of it is there. */
  readonly deletes: boolean;
}

export interface ModelMove {
  readonly moved: Move;
  readonly worded: WordedSession;
  /** Of what was moved. */
  readonly last: Turn;
}

/** How often turns that come meanwhile are moved after the others: a client that moves a session has seldom more than one under way. */
const ROUNDS_MAX = 3;

/**
 * Moves a session, with whatever is answered in it meanwhile where it is deleted: no turn is deleted that is not there. Throws
 * `invalid_request` where nothing was answered, `context_corrupt`, `session_busy` where turns keep coming (then it stays where it was, and
 * the move can be sent again), and what reading, {@link Moves.move} and deleting throw.
 */
export async function moveToModel(request: ModelMoveRequest, gone: AbortSignal): Promise<ModelMove> {
  const { userId, sessionId, from, to, seen, deletes, ttlSeconds, account } = request;
  const { sessions } = from.contextManager;
  let { newSessionId } = request;
  let replayed = true;
  for (let round = 1; round <= ROUNDS_MAX; round++) {
    const view = await sessions.show(userId, sessionId, seen);
    const last = view.turns.at(-1)?.turn;
    if (view.mode === undefined || last === undefined)
      throw new DiscedgeError('invalid_request', 'nothing has been answered in the session to move');
    if (view.corruptRecords > 0)
      throw new DiscedgeError('context_corrupt', `${view.corruptRecords} record(s) of the session are damaged`);
    const worded = wordedSession(view);
    const asked = { userId, mode: view.mode, worded, newSessionId, ttlSeconds, account };
    const moved = await to.contextManager.moveHere(asked, gone);
    newSessionId = moved.key.sessionId;
    replayed &&= moved.replayed;
    if (!deletes || (await sessions.deleteAsRead(view, gone))) return { moved: { ...moved, replayed }, worded, last };
  }
  throw new DiscedgeError(
    'session_busy',
    `turns of the session kept being answered while it was moved: it is not deleted; move it again, with session_id ${newSessionId}`,
    { retryAfterMs: 1000 },
  );
}
