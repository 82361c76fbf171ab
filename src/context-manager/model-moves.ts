import { DiscedgeError, isMissing } from '../domain/errors.ts';
import type { UserId } from '../domain/identifiers.ts';
import type { MovedTo, MovedTurn } from '../domain/record/moved-to.ts';
import type { StoredMode } from '../domain/record/turn-record.ts';
import type { ModelDirectory, ServedModel } from './model-directory.ts';
import { NodeSessions, type SessionName } from './node-sessions.ts';
import type { Move, MoveRequest } from './sessions/moves.ts';
import type { SeenBefore } from './sessions/seen-session.ts';
import { NOT_CARRIED, type NotCarried, wordedSession } from './sessions/worded-session.ts';

/** A session that is to go on with another model of the node. */
export interface ModelMoveRequest extends SessionName, Pick<MoveRequest, 'newSessionId' | 'ttlSeconds' | 'account'> {
  readonly to: ServedModel;
  readonly seen: SeenBefore;
  /** Whether it is deleted where it was, once all of it is there. */
  readonly deletes: boolean;
}

export interface ModelMove {
  readonly moved: Move;
  readonly from: ServedModel;
  /** Of what was moved. */
  readonly last: MovedTurn;
  readonly notCarried: readonly NotCarried[];
}

/** How often turns that come meanwhile are moved after the others: a client that moves a session has seldom more than one under way. */
const ROUNDS_MAX = 3;

/**
 * Moves a session, with whatever is answered in it meanwhile where it is deleted: no turn is deleted that is not there. Sent again once it
 * is deleted, that move is told again as `replayed`. Throws `model_not_found`, `invalid_request` where it is of that model already and where
 * nothing was answered, `context_corrupt`, `session_busy` where turns keep coming (then it stays where it was, and the move can be sent
 * again), and what reading, {@link Moves.move} and deleting throw.
 */
export async function moveToModel(
  request: ModelMoveRequest,
  models: ModelDirectory,
  gone: AbortSignal,
): Promise<ModelMove> {
  const from = await new NodeSessions(models).modelOf(request);
  try {
    if (from === request.to) throw sameModel(from, models);
    return await moveOnce(request, from, gone);
  } catch (error) {
    const isOver = from === request.to || (error instanceof DiscedgeError && error.code === 'session_deleted');
    const before = request.deletes && isOver ? await movedBefore(request, models) : undefined;
    if (before === undefined) throw error;
    return before;
  }
}

async function moveOnce(request: ModelMoveRequest, from: ServedModel, gone: AbortSignal): Promise<ModelMove> {
  const { userId, sessionId, to, seen, deletes, ttlSeconds, account } = request;
  const { sessions } = from.contextManager;
  let { newSessionId } = request;
  let replayed = true;
  for (let round = 1; round <= ROUNDS_MAX; round++) {
    const view = await sessions.show(userId, sessionId, seen);
    const source = view.turns.at(-1)?.turn;
    if (view.mode === undefined || source === undefined)
      throw new DiscedgeError('invalid_request', 'nothing has been answered in the session to move');
    if (view.corruptRecords > 0)
      throw new DiscedgeError('context_corrupt', `${view.corruptRecords} record(s) of the session are damaged`);
    const worded = wordedSession(view);
    const { notCarried } = worded;
    const asked = { userId, mode: view.mode, worded, newSessionId, ttlSeconds, account };
    const moved = await to.contextManager.moveHere(asked, gone);
    newSessionId = moved.key.sessionId;
    replayed &&= moved.replayed;
    const last = { turn: source.record.turn, contextId: source.hash };
    const movedTo = { ...moved.key, from: last, to: moved, droppedTurns: moved.droppedTurns, notCarried };
    if (!deletes || (await sessions.deleteMoved(view, movedTo, gone)))
      return { moved: { ...moved, replayed }, from, last, notCarried };
  }
  throw new DiscedgeError(
    'session_busy',
    `turns of the session kept being answered while it was moved: it is not deleted; move it again, with session_id ${newSessionId}`,
    { retryAfterMs: 1000 },
  );
}

/** The move that has deleted the session, as long as the session is there to which it went. */
async function movedBefore(request: ModelMoveRequest, models: ModelDirectory): Promise<ModelMove | undefined> {
  const { model, userId, sessionId, newSessionId, to } = request;
  for (const from of models.named(model)) {
    const moves = await from.contextManager.sessions.movedTo(userId, sessionId);
    const same = moves.find(
      (move) => move.keygroup === to.keygroup && (newSessionId ?? move.sessionId) === move.sessionId,
    );
    if (same === undefined) continue;
    const moved = await told(same, userId, to, request.seen);
    if (moved !== undefined)
      return { moved, from, last: same.from, notCarried: NOT_CARRIED.filter((what) => same.notCarried.includes(what)) };
  }
  return undefined;
}

async function told(
  { keygroup, sessionId, to: last, droppedTurns }: MovedTo,
  userId: UserId,
  to: ServedModel,
  { maxWaitMs = 0, signal }: SeenBefore,
): Promise<Move | undefined> {
  const wait = { maxWaitMs, signal: signal ?? new AbortController().signal };
  try {
    const { mode, expiresAtMs } = await to.contextManager.sessions.history(userId, sessionId, wait);
    const key = { keygroup, userId, sessionId };
    return { key, mode: mode as StoredMode, ...last, expiresAtMs, droppedTurns, replayed: true };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function sameModel({ name }: ServedModel, { all }: ModelDirectory): DiscedgeError {
  const why = all.length === 1 ? 'this node serves no other model: ask one that does' : 'fork it';
  const message = `the session is one of ${name} already; ${why}`;
  return new DiscedgeError('invalid_request', message, { param: 'model' });
}
