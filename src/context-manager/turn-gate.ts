import type { Consistency } from '../domain/consistency.ts';
import { DiscedgeError } from '../domain/errors.ts';
import type { Turn } from '../domain/session-history.ts';
import { decideTurn, type TurnClaim } from '../domain/turn-decision.ts';
import type { Clock } from '../environment/environment.ts';
import type { Arrivals } from './arrivals.ts';
import type { CachedSession } from './session-cache.ts';

export interface GatePass {
  /** The stored answer to this very request; nothing else needs doing. */
  readonly replay: Turn | undefined;
  /** The turn to go on from. */
  readonly base: Turn | undefined;
  readonly session: CachedSession;
  readonly waitedMs: number;
  readonly retries: number;
}

export interface GateRequest {
  readonly claim: TurnClaim;
  readonly sessionName: string;
  readonly consistency: Consistency;
  readonly maxWaitMs: number;
  readonly signal: AbortSignal;
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
  readonly #arrivals: Arrivals | undefined;
  readonly #load: () => Promise<CachedSession>;

  constructor(parts: { clock: Clock; arrivals: Arrivals | undefined; load: () => Promise<CachedSession> }) {
    this.#clock = parts.clock;
    this.#arrivals = parts.arrivals;
    this.#load = parts.load;
  }

  /**
   * Throws `turn_conflict`, `session_deleted`, `session_not_found`, `context_stale`, `context_corrupt`, or
   * `invalid_request` when context id and turn contradict each other.
   */
  async pass({ claim, sessionName, consistency, maxWaitMs, signal }: GateRequest): Promise<GatePass> {
    const startedMs = this.#clock.monotonic();
    for (let retries = 0; ; retries++) {
      const session = await this.#load();
      const waitedMs = this.#clock.monotonic() - startedMs;
      if (session.deleted)
        throw new DiscedgeError('session_deleted', 'this session was deleted; start one with a new session_id');
      const decision = decideTurn(session.history, claim);
      switch (decision.kind) {
        case 'replay':
          return { replay: decision.turn, base: undefined, session, waitedMs, retries };
        case 'go':
          return { replay: undefined, base: decision.base, session, waitedMs, retries };
        case 'conflict':
          throw new DiscedgeError(
            'turn_conflict',
            `turn ${claim.turn} of this session is already stored with a different request; read the session and continue from its last turn`,
            {
              param: 'turn',
            },
          );
        case 'mismatch':
          throw new DiscedgeError(
            'invalid_request',
            `context_id names turn ${decision.found}, but turn is ${claim.turn}; the turn after it is ${decision.found + 1}`,
            {
              param: 'context_id',
            },
          );
        case 'stale':
          break;
        default:
          decision satisfies never;
      }
      if (this.#arrivals !== undefined && waitedMs < maxWaitMs) {
        await this.#arrivals.next(sessionName, maxWaitMs - waitedMs, signal);
        continue;
      }
      if (session.corrupt > 0) {
        throw new DiscedgeError(
          'context_corrupt',
          `${session.corrupt} stored record(s) of this session are damaged; turns from there on cannot be answered`,
        );
      }
      if (decision.base === undefined && this.#arrivals === undefined) {
        throw new DiscedgeError('session_not_found', 'no such session; turn 1 opens one', { param: 'session_id' });
      }
      if (consistency === 'available' && decision.base !== undefined) {
        return { replay: undefined, base: decision.base, session, waitedMs, retries };
      }
      throw staleError(claim, decision.base);
    }
  }
}

function staleError(claim: TurnClaim, base: Turn | undefined): DiscedgeError {
  const held = base?.record.turn ?? 0;
  const missing =
    claim.contextId !== undefined && held >= claim.turn - 1
      ? 'the branch of this context_id'
      : `turn ${claim.turn - 1}`;
  return new DiscedgeError(
    'context_stale',
    `this node holds ${held} turn(s) of the session but not ${missing}; ask again, or another node, or send "consistency": "available"`,
    {
      param: 'turn',
      retryAfterMs: STALE_RETRY_MS,
    },
  );
}
