import type { ContextId, RequestDigest, TurnNumber } from '../identifiers.ts';
import type { AnswerId } from '../record/answer-id.ts';
import type { Message, StoredMode } from '../record/turn-record.ts';
import type { Consistency } from './consistency.ts';
import type { SessionHistory, Turn } from './session-history.ts';

/** Where in its session a request goes on. */
export type TurnPlace =
  /**
   * Opens the session; where that has been done by the same request, it is the first turn asked for again. It may begin with
   * a conversation that was had elsewhere, which then is part of its first turn.
   */
  | {
      readonly opens: true;
      readonly history?: readonly Message[];
      /** The session's id was drawn for it: nobody else can be opening it. */
      readonly drawn?: boolean;
    }
  /** As that turn, of the branch that ends in `contextId`, or of the main line. */
  | { readonly turn: TurnNumber; readonly contextId: ContextId | undefined }
  /** As the turn after that one, which has to be here: without a number a node cannot tell whether to wait for it. */
  | { readonly after: ContextId }
  /**
   * After the answer of that id, which is waited for. Where that has been answered before, `repeat` says whether by this
   * request; another one makes a branch.
   */
  | { readonly afterAnswer: AnswerId; readonly repeat: TipRepeat }
  /**
   * The same, of a client that may go on from any turn, again and again. Where there are turns after it, `repeat` says whether
   * one of them may be the answer to this request; another request makes a branch.
   */
  | { readonly after: ContextId; readonly repeat: TipRepeat }
  /** After whatever is last on the main line here, once its turn in the queue has come; opens a session without turns. */
  | { readonly tip: TipRepeat };

/**
 * Whether a request at the tip has been sent before, which nothing but its client can say: its place does not tell a
 * request that is repeated from a message that is said twice.
 *
 * - `new`: never. Sent again, it is another turn.
 * - `repeated`: perhaps. Where the last turn is the answer to an equal request it is that turn, else a new one: a repeated
 *   request is not recognised any more once the session has gone on.
 * - `key`: the client's own name for it. Whichever turn of the session answers an equal request of that key is its answer.
 */
export type TipRepeat = 'new' | 'repeated' | { readonly key: string };

/** A request, as far as its place in the session goes. */
export interface TurnClaim {
  readonly place: TurnPlace;
  /** The mode that it names: a turn of a session in another is not its answer. */
  readonly mode: StoredMode | undefined;
  /** Under `available` an answer that was given from another base than the place says, for want of that, is its answer too. */
  readonly consistency: Consistency;
  /** What its answer is stored under, as that turn; at the tip, which has no number before it is stored, without one. */
  digestAs(turn: TurnNumber | undefined): RequestDigest;
}

export type TurnDecision =
  /** Already answered: give the stored reply again. */
  | { readonly kind: 'replay'; readonly turn: Turn }
  /** The replica is current: extend `base` (`undefined`: open the session). */
  | {
      readonly kind: 'go';
      readonly base: Turn | undefined;
      readonly digest: RequestDigest;
      /** Beside other turns after `base`, knowingly. */
      readonly branches?: true;
    }
  /** The turn is taken by another request. */
  | { readonly kind: 'conflict'; readonly turn: TurnNumber }
  /** `contextId` names a turn that is not the one before this. */
  | { readonly kind: 'mismatch'; readonly turn: TurnNumber; readonly found: TurnNumber }
  /**
   * The turn before this one has not arrived. Whoever accepts that goes on from `base`: the best there is, and no further
   * than the turn claimed.
   */
  | {
      readonly kind: 'stale';
      readonly turn: TurnNumber;
      readonly base: Turn | undefined;
      readonly digest: RequestDigest;
    }
  /** The place is in doubt, and waiting does not help. */
  | { readonly kind: 'doubt'; readonly about: TurnDoubt };

/**
 * `turn_missing`: the session is open, and the request does not say which turn it is. `unknown_context`: the turn to go on
 * after is not here. `opening_after`: turn 1 goes on after nothing, and yet names a context.
 */
export type TurnDoubt = 'turn_missing' | 'unknown_context' | 'opening_after';

const FIRST = 1 as TurnNumber;

/**
 * Steps 3 and 4 of a turn (DESIGN §3), as a pure function of what the replica holds: replay, go, or wait. The turn
 * number alone tells whether the replica is current (paper §3.3); the context id tells which branch is meant.
 */
export function decideTurn(history: SessionHistory, claim: TurnClaim): TurnDecision {
  const { place } = claim;
  if ('opens' in place) return decideOpening(history, claim);
  if ('tip' in place) return decideAtTip(history, claim, place.tip);
  if ('afterAnswer' in place) return decideAfterAnswer(history, claim, place);
  if ('turn' in place) {
    if (place.turn > 1 || place.contextId === undefined) return decideNumbered(history, claim, place);
    return { kind: 'doubt', about: 'opening_after' };
  }
  const base = history.standingFor(place.after);
  if (base === undefined) return { kind: 'doubt', about: 'unknown_context' };
  if ('repeat' in place) return decideAnywhere(history, claim, { base, repeat: place.repeat });
  const turn = (base.record.turn + 1) as TurnNumber;
  return decideNumbered(history, claim, { turn, contextId: place.after });
}

function decideOpening(history: SessionHistory, claim: TurnClaim): TurnDecision {
  const digest = claim.digestAs(FIRST);
  const answered = history.mainLineFirst(answersTo(claim, digest, history));
  if (answered !== undefined) return { kind: 'replay', turn: answered };
  return history.size === 0 ? { kind: 'go', base: undefined, digest } : { kind: 'doubt', about: 'turn_missing' };
}

function decideAtTip(history: SessionHistory, claim: TurnClaim, repeat: TipRepeat): TurnDecision {
  const digest = claim.digestAs(undefined);
  const { tip } = history;
  if (repeat !== 'new') {
    const answers = answersTo(claim, digest, history);
    const answered = repeat === 'repeated' ? answers.find((turn) => turn === tip) : history.mainLineFirst(answers);
    if (answered !== undefined) return { kind: 'replay', turn: answered };
  }
  return { kind: 'go', base: tip, digest };
}

function decideAfterAnswer(
  history: SessionHistory,
  claim: TurnClaim,
  { afterAnswer, repeat }: { readonly afterAnswer: AnswerId; readonly repeat: TipRepeat },
): TurnDecision {
  const base = history.answer(afterAnswer);
  if (base !== undefined) return decideAnywhere(history, claim, { base, repeat });
  const turn = ((history.tip?.record.turn ?? 0) + 1) as TurnNumber;
  return { kind: 'stale', turn, base: history.tip, digest: claim.digestAs(undefined) };
}

function decideAnywhere(
  history: SessionHistory,
  claim: TurnClaim,
  { base, repeat }: { readonly base: Turn; readonly repeat: TipRepeat },
): TurnDecision {
  const digest = claim.digestAs(undefined);
  if (repeat !== 'new') {
    const answers = answersTo(claim, digest, history).filter(({ record }) => record.parent === base.hash);
    const answered = repeat === 'repeated' ? answers.at(-1) : history.mainLineFirst(answers);
    if (answered !== undefined) return { kind: 'replay', turn: answered };
  }
  return { kind: 'go', base, digest, ...(history.hasChild(base.hash) && { branches: true }) };
}

function decideNumbered(
  history: SessionHistory,
  claim: TurnClaim,
  { turn, contextId }: { readonly turn: TurnNumber; readonly contextId: ContextId | undefined },
): TurnDecision {
  const digest = claim.digestAs(turn);
  const answers = answersTo(claim, digest, history).filter(
    ({ record }) => claim.consistency === 'available' || record.turn === turn,
  );
  // What a client knows by the name of a lost turn may have been answered after one that stands for it.
  const bases = contextId && new Set([contextId, ...history.repairsOf(contextId).map(({ hash }) => hash)]);
  const answered = history.mainLineFirst(
    bases === undefined ? answers : answers.filter(({ record }) => record.parent && bases.has(record.parent)),
  );
  if (answered !== undefined) return { kind: 'replay', turn: answered };
  if (contextId === undefined) {
    const depth = history.tip?.record.turn ?? 0;
    if (depth >= turn) return { kind: 'conflict', turn };
    if (depth === turn - 1) return { kind: 'go', base: history.tip, digest };
    return { kind: 'stale', turn, base: history.tip, digest };
  }
  const base = history.standingFor(contextId);
  if (base === undefined) {
    const early = claim.consistency === 'available' ? history.mainLineFirst(answers) : undefined;
    if (early !== undefined) return { kind: 'replay', turn: early };
    const nearest = history.onMainLine((turn - 1) as TurnNumber) ?? history.tip;
    return { kind: 'stale', turn, base: nearest, digest };
  }
  if (base.record.turn !== turn - 1) return { kind: 'mismatch', turn, found: base.record.turn };
  return history.hasChild(base.hash) ? { kind: 'conflict', turn } : { kind: 'go', base, digest };
}

function answersTo({ mode }: TurnClaim, digest: RequestDigest, history: SessionHistory): readonly Turn[] {
  const answers = history.answering(digest);
  return mode === undefined ? answers : answers.filter(({ record }) => record.payload.mode === mode);
}
