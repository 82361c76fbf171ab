import { DiscedgeError } from '../domain/errors.ts';
import { type SessionKey, sessionKeyText } from '../domain/identifiers.ts';
import type { Turn } from '../domain/session-history.ts';
import { decideTurn, type TurnClaim } from '../domain/turn-decision.ts';
import type { Clock } from '../environment/environment.ts';
import type { Arrivals } from './arrivals.ts';
import type { CachedSession, SessionCache } from './session-cache.ts';
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
const STALE_RETRY_MS = 250;

/**
 * Lets a turn through when the local replica holds what the client has seen (paper §3.3, DESIGN §3 steps 3 and 4).
 * Waits for the arrival of the missing record, not for time to pass. A store without other nodes has no arrivals, so
 * there is nothing to wait for.
 */
export class TurnGate {
  readonly #clock: Clock;
  readonly #cache: SessionCache;
  readonly #arrivals: Arrivals | undefined;

  constructor(parts: { clock: Clock; cache: SessionCache; arrivals: Arrivals | undefined }) {
    this.#clock = parts.clock;
    this.#cache = parts.cache;
    this.#arrivals = parts.arrivals;
  }

  /**
   * Throws `turn_conflict`, `session_deleted`, `session_not_found`, `context_stale`, `context_corrupt`, or
   * `invalid_request` when turn and context id leave a doubt; `signal.reason` on abort.
   */
  async pass(key: SessionKey, request: TurnRequest, signal: AbortSignal): Promise<GatePass> {
    const startedMs = this.#clock.monotonic();
    for (let retries = 0; ; retries++) {
      const session = await this.#cache.load(key);
      const waitedMs = this.#clock.monotonic() - startedMs;
      if (session.deleted)
        throw new DiscedgeError('session_deleted', 'this session was deleted; start one with a new session_id');
      const claim = turnClaim(request, session.history);
      const pass = { claim, session, waitedMs, retries };
      const decision = decideTurn(session.history, claim);
      switch (decision.kind) {
        case 'replay':
          return { ...pass, answered: decision.turn, base: undefined };
        case 'go':
          // The damaged record may be an answer to this very turn, or one that the client has seen.
          if (session.corrupt > 0) throw corrupt(session);
          return { ...pass, answered: undefined, base: decision.base };
        case 'conflict':
          throw conflict(claim);
        case 'mismatch':
          throw mismatch(claim, decision.found);
        case 'stale':
          break;
        default:
          decision satisfies never;
      }
      if (this.#arrivals !== undefined && waitedMs < request.maxWaitMs) {
        await this.#arrivals.next(sessionKeyText(key), request.maxWaitMs - waitedMs, signal);
        continue;
      }
      if (session.corrupt > 0) throw corrupt(session);
      if (decision.base === undefined && this.#arrivals === undefined) {
        throw new DiscedgeError('session_not_found', 'no such session; turn 1 opens one', { param: 'session_id' });
      }
      if (request.consistency === 'available' && decision.base !== undefined) {
        return { ...pass, answered: decision.answered, base: decision.base };
      }
      throw stale(claim, session, this.#arrivals === undefined);
    }
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
    `${session.corrupt} stored record(s) of this session are damaged: what is left can be read, exported and deleted, but not continued`,
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
