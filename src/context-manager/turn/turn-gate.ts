import { DiscedgeError } from '../../domain/errors.ts';
import type { SessionKey } from '../../domain/identifiers.ts';
import type { Turn } from '../../domain/session-history.ts';
import { decideTurn, type TurnClaim } from '../../domain/turn-decision.ts';
import type { CachedSession } from '../sessions/session-cache.ts';
import type { ReplicaWait } from './replica-wait.ts';
import type { TurnRequest } from './turn.ts';
import { turnClaim } from './turn-claim.ts';

export interface GatePass {
  readonly claim: TurnClaim;
  readonly session: CachedSession;
  /** The stored answer to this very request; nothing else needs doing. */
  readonly answered: Turn | undefined;
  /** The turn to go on from; `undefined` opens the session. */
  readonly base: Turn | undefined;
  readonly waitedMs: number;
  /** How often the gate looked again. */
  readonly retries: number;
}

/** How soon a client may ask again after `context_stale`: one LAN replication delay with room to spare. */
export const STALE_RETRY_MS = 250;

/**
 * Lets a turn through when the local replica holds what the client has seen (paper §3.3, DESIGN §3 steps 3 and 4), and
 * waits for it, bounded, where it does not.
 */
export class TurnGate {
  readonly #replica: ReplicaWait;

  constructor(replica: ReplicaWait) {
    this.#replica = replica;
  }

  /**
   * Throws `turn_conflict`, `session_deleted`, `session_not_found`, `context_stale`, `context_corrupt`, or
   * `invalid_request` when turn and context id leave a doubt; `signal.reason` on abort.
   */
  async pass(key: SessionKey, request: TurnRequest, signal: AbortSignal): Promise<GatePass> {
    const { session, seen, waitedMs, retries } = await this.#replica.until(
      key,
      { maxWaitMs: request.maxWaitMs, signal },
      (session) => {
        if (session.deleted)
          throw new DiscedgeError('session_deleted', 'this session was deleted; start one with a new session_id');
        const claim = turnClaim(request, session.history);
        return { claim, decision: decideTurn(session.history, claim) };
      },
      ({ decision }) => decision.kind !== 'stale',
    );
    const { claim, decision } = seen;
    const pass = { claim, session, waitedMs, retries };
    switch (decision.kind) {
      case 'replay':
        return { ...pass, answered: decision.turn, base: undefined };
      case 'conflict':
        throw conflict(claim);
      case 'mismatch':
        throw mismatch(claim, decision.found);
      case 'go':
        // The damaged record may be an answer to this very turn, or one that the client has seen.
        if (session.corrupt > 0) throw corrupt(session);
        return { ...pass, answered: undefined, base: decision.base };
      case 'stale':
        break;
      default:
        decision satisfies never;
    }
    if (session.corrupt > 0) throw corrupt(session);
    const { answered, base } = decision;
    if (base === undefined && this.#replica.isAlone) {
      throw new DiscedgeError('session_not_found', 'no such session; turn 1 opens one', { param: 'session_id' });
    }
    if (request.consistency === 'available' && base !== undefined) return { ...pass, answered, base };
    throw stale(claim, session, this.#replica.isAlone);
  }
}

function conflict({ turn }: TurnClaim): DiscedgeError {
  return new DiscedgeError(
    'turn_conflict',
    `turn ${turn} of this session is already stored with a different request; read the session and continue from its last turn`,
    { param: 'turn' },
  );
}

function mismatch({ turn }: TurnClaim, found: number): DiscedgeError {
  return new DiscedgeError(
    'invalid_request',
    `context_id names turn ${found}, but turn is ${turn}; the turn after it is ${found + 1}`,
    { param: 'context_id' },
  );
}

function corrupt(session: CachedSession): DiscedgeError {
  return new DiscedgeError(
    'context_corrupt',
    `${session.corrupt} stored record(s) of this session are damaged: what is left can be read, exported, forked and deleted, but not continued`,
  );
}

function stale({ turn, contextId }: TurnClaim, { history }: CachedSession, isAlone: boolean): DiscedgeError {
  const held = history.tip?.record.turn ?? 0;
  const missing = contextId !== undefined && held >= turn - 1 ? 'the branch of this context_id' : `turn ${turn - 1}`;
  const advice = isAlone
    ? 'it shares its sessions with no other node, so check the turn number'
    : 'ask again, or another node, or send "consistency": "available"';
  return new DiscedgeError(
    'context_stale',
    `this node holds ${held} turn(s) of the session but not ${missing}; ${advice}`,
    {
      param: 'turn',
      retryAfterMs: STALE_RETRY_MS,
    },
  );
}
