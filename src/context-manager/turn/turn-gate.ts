import type { Outlook } from '../../context-store/replication-status.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import type { RequestDigest, SessionKey, TurnNumber } from '../../domain/identifiers.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import { decideTurn, type TurnClaim, type TurnDecision, type TurnDoubt } from '../../domain/session/turn-decision.ts';
import { planRepair, type RememberedTurn } from '../../domain/session/turn-repair.ts';
import type { StopSign } from '../../waiting/stop.ts';
import type { CachedSession } from '../sessions/session-cache.ts';
import type { Lack, ReplicaWait } from './replica-wait.ts';

export type GatePass = AnsweredPass | OpenPass;

interface Waited {
  readonly session: CachedSession;
  readonly waitedMs: number;
  /** How often the gate looked again. */
  readonly retries: number;
}

export interface AnsweredPass extends Waited {
  /** The stored answer to this very request; nothing else needs doing. */
  readonly answered: Turn;
}

export interface OpenPass extends Waited {
  readonly answered: undefined;
  /** The turn to go on from; `undefined` opens the session. */
  readonly base: Turn | undefined;
  /** What the turn is to be stored under. */
  readonly digest: RequestDigest;
  /** Turns between `base` and this one that are lost, and that the client has in words, oldest first. */
  readonly lost?: readonly RememberedTurn[];
  /** Beside turns that go on from there already, as its client means it to. */
  readonly branches?: true;
}

/** Whatever is to have a place in a session. */
export interface GateRequest extends TurnClaim {
  readonly maxWaitMs: number;
  /** Turns that its client has in words, should they be lost. */
  readonly repair?: readonly RememberedTurn[] | undefined;
}

/** Before turns are taken for lost, what is on its way has had time to arrive, and every peer to be asked. */
const REPAIR_WAIT_MS_MIN = 1_000;

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
   * Throws `turn_conflict`, `session_deleted`, `session_not_found`, `context_stale`, `context_corrupt`, `repair_incomplete`,
   * or `invalid_request` when turn and context id leave a doubt; the reason of `stop` when that is given.
   */
  async pass(key: SessionKey, request: GateRequest, stop: StopSign): Promise<GatePass> {
    const { place, consistency, repair } = request;
    const {
      session,
      seen: decision,
      waitedMs,
      retries,
    } = await this.#replica.until(
      key,
      { maxWaitMs: repair === undefined ? request.maxWaitMs : Math.max(request.maxWaitMs, REPAIR_WAIT_MS_MIN), stop },
      (session) => {
        if (session.deleted)
          throw new DiscedgeError('session_deleted', 'this session was deleted; start one with a new session_id');
        return decideTurn(session.history, request);
      },
      lackIn,
    );
    const pass = { session, waitedMs, retries };
    if (decision.kind === 'replay') return { ...pass, answered: decision.turn };
    stop.throwIfAborted();
    switch (decision.kind) {
      case 'conflict':
        throw conflict(decision.turn);
      case 'mismatch':
        throw mismatch(decision);
      case 'doubt':
        throw doubtful(decision.about);
      case 'go':
        // The damaged record may be an answer to this very turn, or one that the client has seen.
        if (session.corrupt > 0) throw corrupt(session);
        return {
          ...pass,
          answered: undefined,
          base: decision.base,
          digest: decision.digest,
          ...(decision.branches && { branches: true }),
        };
      case 'stale':
        break;
      default:
        decision satisfies never;
    }
    if (session.corrupt > 0) throw corrupt(session);
    const { base, digest } = decision;
    if (repair !== undefined) {
      const plan = planRepair(session.history, repair);
      if (plan === undefined) throw unrepairable(session);
      return { ...pass, answered: undefined, digest, ...plan };
    }
    if (base === undefined && this.#replica.isAlone) {
      throw new DiscedgeError('session_not_found', 'no such session; turn 1 opens one', { param: 'session_id' });
    }
    if ('afterAnswer' in place) throw this.#answerMissing(key, session);
    if (consistency === 'available' && base !== undefined) return { ...pass, answered: undefined, base, digest };
    const namesBranch = 'contextId' in place && place.contextId !== undefined;
    if (namesBranch && this.#replica.isAlone) {
      throw new DiscedgeError(
        'invalid_request',
        'this node does not know the context_id, and shares its sessions with no other that could send it; read the session and go on from a turn that it has',
        { param: 'context_id' },
      );
    }
    throw stale({ turn: decision.turn, namesBranch }, session, this.#adviceFor(key, session));
  }

  /** An answer that is not here: to be waited for on, unless there is nowhere that it could come from. */
  #answerMissing(key: SessionKey, { history }: CachedSession): DiscedgeError {
    const canCome = !this.#replica.isAlone && (history.size > 0 || this.#replica.outlookFor(key) === 'possible');
    if (!canCome)
      return new DiscedgeError('session_not_found', 'the answer to go on after is not here, or has expired');
    return new DiscedgeError(
      'context_stale',
      'the answer to go on after has not arrived at this node; ask again, or another node',
      { retryAfterMs: STALE_RETRY_MS },
    );
  }

  #adviceFor(key: SessionKey, { history }: CachedSession): string {
    if (this.#replica.isAlone) return 'it shares its sessions with no other node, so check the turn number';
    if (history.tip !== undefined) return ADVICE.possible;
    return ADVICE[this.#replica.outlookFor(key)];
  }
}

/** A context that is named without a turn may be nowhere: nobody waits for it, and yet a peer may have it. */
function lackIn(decision: TurnDecision): Lack | undefined {
  if (decision.kind === 'stale') return 'arrival';
  return decision.kind === 'doubt' && decision.about === 'unknown_context' ? 'elsewhere' : undefined;
}

function conflict(turn: TurnNumber): DiscedgeError {
  return new DiscedgeError(
    'turn_conflict',
    `turn ${turn} of this session is already stored with a different request; read the session and continue from its last turn`,
    { param: 'turn' },
  );
}

function mismatch({ turn, found }: { turn: TurnNumber; found: TurnNumber }): DiscedgeError {
  return new DiscedgeError(
    'invalid_request',
    `context_id names turn ${found}, but turn is ${turn}; the turn after it is ${found + 1}`,
    { param: 'context_id' },
  );
}

function doubtful(about: TurnDoubt): DiscedgeError {
  return new DiscedgeError('invalid_request', DOUBTS[about].message, { param: DOUBTS[about].param });
}

const DOUBTS: Readonly<Record<TurnDoubt, { readonly message: string; readonly param: string }>> = {
  turn_missing: {
    message: 'turn is needed from turn 2 on: it is how the node knows that it holds all you have seen',
    param: 'turn',
  },
  unknown_context: {
    message: 'this node does not know the context_id; send turn with it, so that the node can wait for it',
    param: 'turn',
  },
  opening_after: { message: 'turn 1 opens a session and has no context_id before it', param: 'context_id' },
};

function unrepairable({ history }: CachedSession): DiscedgeError {
  const held = history.tip?.record.turn ?? 0;
  return new DiscedgeError(
    'repair_incomplete',
    `this node holds ${held} turn(s) of the session, and the turns in repair reach back neither to one of them nor to turn 1: ask another node, or open a new session`,
    { param: 'repair', retryAfterMs: STALE_RETRY_MS },
  );
}

function corrupt(session: CachedSession): DiscedgeError {
  return new DiscedgeError(
    'context_corrupt',
    `${session.corrupt} stored record(s) of this session are damaged: what is left can be read, exported, forked and deleted, but not continued`,
  );
}

/** Why the session is not here, and what helps, by what can still come from other nodes. */
const ADVICE: Readonly<Record<Outlook, string>> = {
  possible: 'ask again, or another node, or send "consistency": "available"',
  unshared:
    'no node that this one knows serves this model with the same tokenizer and chat template, so the session will not come here: go on at the node that has it',
  heard:
    'all other nodes have been heard and it is not under way: it has ended, or was evicted here; go on at a node that has it, or open a new one',
};

function stale(
  { turn, namesBranch }: { turn: TurnNumber; namesBranch: boolean },
  { history }: CachedSession,
  advice: string,
): DiscedgeError {
  const held = history.tip?.record.turn ?? 0;
  const missing = namesBranch && held >= turn - 1 ? 'the branch of this context_id' : `turn ${turn - 1}`;
  return new DiscedgeError(
    'context_stale',
    `this node holds ${held} turn(s) of the session but not ${missing}; ${advice}`,
    {
      param: 'turn',
      retryAfterMs: STALE_RETRY_MS,
    },
  );
}
