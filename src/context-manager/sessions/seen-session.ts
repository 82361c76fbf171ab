import { DiscedgeError } from '../../domain/errors.ts';
import type { ContextId, SessionKey, TurnNumber } from '../../domain/identifiers.ts';
import { stopSignOf } from '../../waiting/stop.ts';
import type { Lack, ReplicaWait } from '../turn/replica-wait.ts';
import { STALE_RETRY_MS } from '../turn/turn-gate.ts';
import type { CachedSession } from './session-cache.ts';

/** What whoever asks for a session has seen of it, at whichever node, and how long it may take to have it here. */
export interface SeenBefore {
  /** A turn of it is under way here, which may be all there is of it. */
  readonly isOpening?: boolean;
  /** Of the main line, at least. */
  readonly turn?: TurnNumber | undefined;
  /** Of any branch. */
  readonly contextId?: ContextId | undefined;
  readonly maxWaitMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** As turns wait where nobody says how long: peers answer in a few ms, and one that hangs must not hold a reader up. */
const MAX_WAIT_MS = 1_000;

/**
 * The session once this node holds what has been seen of it, and where nothing is said, once any of it is here or no peer
 * has it. Throws `session_deleted`, `session_not_found`, `context_stale` when what has been seen does not come in time, and
 * `invalid_request` for it where nothing can come; `signal.reason` on abort.
 */
export async function seenSession(replica: ReplicaWait, key: SessionKey, seen: SeenBefore): Promise<CachedSession> {
  const { maxWaitMs = MAX_WAIT_MS, signal = new AbortController().signal } = seen;
  const found = await replica.until(
    key,
    { maxWaitMs, stop: stopSignOf(signal) },
    (session) => {
      if (session.deleted) throw deleted();
      return lackIn(session, seen);
    },
    (lack) => lack,
  );
  if (found.seen === undefined) return found.session;
  throw missing(found.session, seen, replica.isAlone);
}

/** Damaged, it is shown and deleted as it is. */
function lackIn({ history, corrupt }: CachedSession, { turn, contextId, isOpening }: SeenBefore): Lack | undefined {
  if (corrupt > 0 || (isOpening === true && history.size === 0)) return undefined;
  if (contextId !== undefined && history.standingFor(contextId) === undefined) return 'arrival';
  if (turn !== undefined) return (history.tip?.record.turn ?? 0) < turn ? 'arrival' : undefined;
  return history.size === 0 ? 'elsewhere' : undefined;
}

function missing({ history }: CachedSession, { turn, contextId }: SeenBefore, isAlone: boolean): DiscedgeError {
  const claimsNothing = turn === undefined && contextId === undefined;
  if (claimsNothing || (isAlone && history.size === 0)) {
    return new DiscedgeError('session_not_found', 'no such session', { param: 'session_id' });
  }
  const [what, param] = contextId === undefined ? [`turn ${turn}`, 'turn'] : ['the context_id', 'context_id'];
  const holds = `the session has ${history.tip?.record.turn ?? 0} turn(s) here, and not ${what}`;
  if (isAlone) return new DiscedgeError('invalid_request', holds, { param });
  return new DiscedgeError('context_stale', `${holds}; ask again, or another node`, {
    param,
    retryAfterMs: STALE_RETRY_MS,
  });
}

export function deleted(): DiscedgeError {
  return new DiscedgeError('session_deleted', 'this session was deleted; start one with a new session_id', {
    param: 'session_id',
  });
}
