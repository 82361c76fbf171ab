import type { ContextId, RequestDigest, TurnNumber } from './identifiers.ts';
import type { StoredMode } from './record/turn-record.ts';
import type { SessionHistory, Turn } from './session-history.ts';

/** What a request says about its place in the session. */
export interface TurnClaim {
  readonly turn: TurnNumber;
  /** The history the client means; `undefined` means the main line. */
  readonly contextId: ContextId | undefined;
  readonly digest: RequestDigest;
  /** The mode that the request names: a turn of a session in another is not its answer. */
  readonly mode: StoredMode | undefined;
}

export type TurnDecision =
  /** Already answered: give the stored reply again. */
  | { readonly kind: 'replay'; readonly turn: Turn }
  /** The replica is current: extend `base` (`undefined`: open the session). */
  | { readonly kind: 'go'; readonly base: Turn | undefined }
  /** The turn is taken by another request. */
  | { readonly kind: 'conflict' }
  /** `contextId` names a turn that is not the one before this. */
  | { readonly kind: 'mismatch'; readonly found: TurnNumber }
  /**
   * The turn before this one has not arrived. Whoever accepts that takes the stored answer to this request, if one was
   * given from another base before, or goes on from `base`: the best there is, and no further than the turn claimed.
   */
  | { readonly kind: 'stale'; readonly answered: Turn | undefined; readonly base: Turn | undefined };

/**
 * Steps 3 and 4 of a turn (DESIGN §3), as a pure function of what the replica holds: replay, go, or wait. The turn
 * number alone tells whether the replica is current (paper §3.3); the context id tells which branch is meant.
 */
export function decideTurn(history: SessionHistory, { turn, contextId, digest, mode }: TurnClaim): TurnDecision {
  const answers = history.answering(digest).filter(({ record }) => mode === undefined || record.payload.mode === mode);
  const answered = mainLineFirst(
    contextId === undefined ? answers : answers.filter(({ record }) => record.parent === contextId),
    history,
  );
  if (answered !== undefined) return { kind: 'replay', turn: answered };
  if (contextId === undefined) {
    const depth = history.tip?.record.turn ?? 0;
    if (depth >= turn) return { kind: 'conflict' };
    if (depth === turn - 1) return { kind: 'go', base: history.tip };
    return { kind: 'stale', answered: undefined, base: history.tip };
  }
  const base = history.get(contextId);
  if (base === undefined) {
    const nearest = history.onMainLine((turn - 1) as TurnNumber) ?? history.tip;
    return { kind: 'stale', answered: mainLineFirst(answers, history), base: nearest };
  }
  if (base.record.turn !== turn - 1) return { kind: 'mismatch', found: base.record.turn };
  return history.hasChild(base.hash) ? { kind: 'conflict' } : { kind: 'go', base };
}

/** Of several answers to one request, given on either side of a partition, the one that every node chooses. */
function mainLineFirst(answers: readonly Turn[], history: SessionHistory): Turn | undefined {
  if (answers.length < 2) return answers[0];
  const main = answers.find((turn) => history.onMainLine(turn.record.turn) === turn);
  return main ?? answers.reduce((least, turn) => (turn.hash < least.hash ? turn : least));
}
