import type { TurnArbitration, TurnAttempt, TurnVerdict } from '../../context-store/turn-arbitration.ts';
import { arbiterRanking } from '../../domain/cluster/arbiter-ranking.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import { type NodeId, type SessionKey, sessionKeyText, type TurnNumber } from '../../domain/identifiers.ts';
import type { Clock } from '../../environment/environment.ts';
import { abortable } from '../../waiting/abortable.ts';
import type { StopSign } from '../../waiting/stop.ts';
import type { Arrivals } from '../sessions/arrivals.ts';
import type { SessionRecords } from '../sessions/session-records.ts';
import {
  type AnsweredPass,
  type GatePass,
  type GateRequest,
  type OpenPass,
  STALE_RETRY_MS,
} from '../turn/turn-gate.ts';
import { Asking, askedFirst, type Candidate } from './asking.ts';
import { HeldTurn } from './held-turn.ts';
import { isAnswered } from './node-arbiter.ts';
import type { TurnGrants } from './turn-grants.ts';

/** For one that was there a moment ago: busy, and not cut off. */
const ASK_AGAIN_PATIENCE_MS = 2_000;
/** Nodes asked while none answers: the one named by the session, and one that stands in for it. */
const UNANSWERED_MAX = 2;

/** A turn that may be answered now, and is this node's until it is ended. */
export interface EnteredPass extends OpenPass {
  readonly held: HeldTurn;
}

export interface ArbitrationParts {
  readonly nodeId: NodeId;
  /** `undefined` where no other node can be asked: then every turn is this node's. */
  readonly others: TurnArbitration | undefined;
  readonly records: SessionRecords;
  readonly grants: TurnGrants;
  readonly arrivals: Arrivals;
  readonly clock: Clock;
  /** Beyond the delay that was measured to an arbiter. */
  readonly patienceMs: number;
}

/**
 * One effect per turn on all nodes that reach each other: who wrote the turn before arbitrates this one, and a first turn is
 * arbitrated by a node that the session's id names. A node that arbitrates itself, as for a client that stays, asks nobody.
 * Where no arbiter answers the turn is answered all the same, and the reply says so.
 */
export class Arbitration {
  readonly #parts: ArbitrationParts;
  #attempts: number;

  constructor(parts: ArbitrationParts) {
    this.#parts = parts;
    // Those of an earlier start have smaller numbers.
    this.#attempts = parts.clock.now();
  }

  /**
   * Passes the gate, and then waits for as long as another node is at the turn, to pass the gate again with what that node
   * has stored. Throws what the gate throws; `context_stale` when the turn is answered elsewhere and that answer does not
   * arrive within the request's longest wait; the reason of `stop` when that is given.
   */
  async enter(
    { key, request, isNew }: { readonly key: SessionKey; readonly request: GateRequest; readonly isNew: boolean },
    stop: StopSign,
    passGate: () => Promise<GatePass>,
  ): Promise<AnsweredPass | EnteredPass> {
    const { clock, arrivals } = this.#parts;
    const startedMs = clock.monotonic();
    const asking = new Asking(request.maxWaitMs);
    for (let rounds = 0; ; rounds++) {
      const gate = await passGate();
      const waited = { waitedMs: clock.monotonic() - startedMs, retries: gate.retries + rounds };
      const pass = rounds === 0 ? gate : { ...gate, ...waited };
      if (pass.answered !== undefined) return pass;
      const { base } = pass;
      const turn = ((base?.record.turn ?? 0) + 1) as TurnNumber;
      const attempt: TurnAttempt = { key, turn, parent: base?.hash, attempt: ++this.#attempts };
      // A branch that is meant to be one is no other node's turn.
      const isOwn = isNew || pass.branches === true || this.#parts.others === undefined;
      // Another branch goes on after it already, and nobody tells of two.
      const partsHere = pass.lost !== undefined && isAnswered(pass.session, base?.hash);
      const held = isOwn
        ? HeldTurn.unshared
        : partsHere
          ? this.#held(attempt, NOT_SURE)
          : await this.#take(attempt, base?.record.origin, { request, asking, signal: stop.signal });
      if (held === 'look again') continue;
      if (held !== undefined) return { ...pass, held };
      stop.throwIfAborted();
      if (asking.answeredMs !== undefined && clock.monotonic() - asking.answeredMs >= request.maxWaitMs)
        throw elsewhere(turn);
      await arrivals.next(sessionKeyText(key), asking.nextPauseMs(), stop.signal);
    }
  }

  /** `undefined` while another node is at the turn, or has answered it. */
  async #take(
    attempt: TurnAttempt,
    writer: NodeId | undefined,
    { request, asking, signal }: { request: GateRequest; asking: Asking; signal: AbortSignal },
  ): Promise<HeldTurn | 'look again' | undefined> {
    const { nodeId, grants, records } = this.#parts;
    // It may have arrived since the gate looked; from here to the grant nothing comes between.
    const session = await records.load(attempt.key);
    if (request.consistency === 'strong' && isAnswered(session, attempt.parent)) return 'look again';
    const own = grants.take(nodeId, attempt, { isEndless: true });
    const arbiters = this.#arbitersOf(attempt, writer);
    const isArbiter = arbiters[0]?.nodeId === nodeId;
    // Whoever accepts less than all waits for nobody.
    if (request.consistency === 'available')
      return this.#held(attempt, { isArbitrated: isArbiter && own.kind === 'taken' && own.isSure });
    if (own.kind === 'held') {
      asking.at = own.by;
      return undefined;
    }
    let isHeld = false;
    try {
      const outcome = isArbiter
        ? await this.#goOn(attempt, { go: own, isNamed: true, asked: [] }, asking, signal)
        : await this.#ask(attempt, arbiters, asking, signal);
      isHeld = outcome.isOurs;
      if (outcome.isOurs) return this.#held(attempt, outcome);
      if (isAnswered(await records.load(attempt.key), attempt.parent)) return 'look again';
      // By the arbiter's clock it is not over yet; by this one's its id may be used again.
      isHeld = asking.isAnswerHere && (await records.hasEnded(attempt.key));
      return isHeld ? this.#held(attempt, NOT_SURE) : undefined;
    } finally {
      if (!isHeld) grants.giveBack(nodeId, attempt);
    }
  }

  async #ask(
    attempt: TurnAttempt,
    arbiters: readonly Candidate[],
    asking: Asking,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { nodeId } = this.#parts;
    const asked: NodeId[] = [];
    let questions = 0;
    for (const arbiter of askedFirst(arbiters, asking.at)) {
      // Back before the turn is over, it is told of it.
      if (arbiter.isNamed) asked.push(arbiter.nodeId);
      if (!arbiter.isReachable) continue;
      if (arbiter.nodeId === nodeId || questions === UNANSWERED_MAX) break;
      if (!arbiter.isNamed) asked.push(arbiter.nodeId);
      questions++;
      const verdict = await this.#askOne(arbiter.nodeId, attempt, asking, signal);
      if (verdict === undefined) continue;
      if (verdict.kind !== 'go') return NOT_OURS;
      return this.#goOn(attempt, { go: verdict, isNamed: arbiter.isNamed, asked }, asking, signal);
    }
    return { isOurs: true, isArbitrated: false, asked };
  }

  /** Let go on by an arbiter; where that has heard nothing more of another node that it had let go on, that one is asked itself. */
  async #goOn(
    attempt: TurnAttempt,
    { go, isNamed, asked }: { go: Go; isNamed: boolean; asked: readonly NodeId[] },
    asking: Asking,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { nodeId, others } = this.#parts;
    const { isSure, lapsed } = go;
    if (lapsed === undefined || lapsed === nodeId || asked.includes(lapsed))
      return { isOurs: true, isArbitrated: isNamed && isSure, asked };
    let verdict: TurnVerdict | undefined;
    try {
      verdict = await this.#askOne(lapsed, attempt, asking, signal);
    } finally {
      if (verdict?.kind !== 'go' && (verdict !== undefined || signal.aborted))
        for (const arbiter of asked) others?.tell(arbiter, attempt, 'over');
    }
    if (verdict !== undefined && verdict.kind !== 'go') return NOT_OURS;
    const isArbitrated = isNamed && verdict?.isSure === true;
    return { isOurs: true, isArbitrated, asked: verdict === undefined ? asked : [...asked, lapsed] };
  }

  /** Throws `signal.reason` on abort; what is granted after that is given back. */
  async #askOne(
    arbiter: NodeId,
    attempt: TurnAttempt,
    asking: Asking,
    signal: AbortSignal,
  ): Promise<TurnVerdict | undefined> {
    const { others, clock } = this.#parts;
    const patienceMs = asking.heard.has(arbiter)
      ? Math.max(this.#parts.patienceMs, ASK_AGAIN_PATIENCE_MS)
      : this.#parts.patienceMs;
    const waits = { patienceMs, fetchMs: asking.maxWaitMs };
    const answer = others?.ask(arbiter, attempt, waits) ?? Promise.resolve(undefined);
    try {
      const askedMs = clock.monotonic();
      const verdict = await abortable(answer, signal);
      if (verdict !== undefined) asking.heard.add(arbiter);
      if (verdict?.kind === 'answered') asking.answeredMs ??= askedMs;
      asking.isAnswerHere = verdict?.kind === 'answered' && verdict.isHere === true;
      if (verdict?.kind === 'running') asking.at = verdict.at;
      return verdict;
    } catch (error) {
      void answer.then((verdict) => {
        if (verdict?.kind === 'go') others?.tell(arbiter, attempt, 'over');
      });
      throw error;
    }
  }

  #held(
    attempt: TurnAttempt,
    { isArbitrated, asked = [] }: { isArbitrated: boolean; asked?: readonly NodeId[] },
  ): HeldTurn {
    const { nodeId, others, grants, clock } = this.#parts;
    return new HeldTurn({ nodeId, attempt, isArbitrated, asked, others, grants, clock });
  }

  /** The node that the session names first, then those that stand in for it. */
  #arbitersOf({ key }: TurnAttempt, writer: NodeId | undefined): Candidate[] {
    const { nodeId, others } = this.#parts;
    if (writer === nodeId) return [{ nodeId, isReachable: true, isNamed: true }];
    const nodes = others?.nodes(key.keygroup) ?? [];
    const isReachable = (node: NodeId) =>
      node === nodeId || nodes.some((other) => other.nodeId === node && other.isReachable);
    const ranked = arbiterRanking(key, [nodeId, ...nodes.map((other) => other.nodeId)]);
    const order = writer === undefined ? ranked : [writer, ...ranked.filter((node) => node !== writer)];
    return order.map((node, at) => ({ nodeId: node, isReachable: isReachable(node), isNamed: at === 0 }));
  }
}

type Go = Pick<Extract<TurnVerdict, { readonly kind: 'go' }>, 'isSure' | 'lapsed'>;

interface Outcome {
  readonly isOurs: boolean;
  readonly isArbitrated: boolean;
  readonly asked: readonly NodeId[];
}

const NOT_OURS: Outcome = { isOurs: false, isArbitrated: false, asked: [] };

const NOT_SURE = { isArbitrated: false };

function elsewhere(turn: TurnNumber): DiscedgeError {
  return new DiscedgeError(
    'context_stale',
    `another node has answered turn ${turn}, and its answer has not arrived here; ask again, or another node`,
    { param: 'turn', retryAfterMs: STALE_RETRY_MS },
  );
}
