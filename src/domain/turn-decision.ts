import type { ContextId, RequestDigest, TurnNumber } from './identifiers.ts';
import type { SessionHistory, Turn } from './session-history.ts';

/** What a request says about its place in the session. */
export interface TurnClaim {
  readonly turn: TurnNumber;
  /** The history the client means; `undefined` means the main line. */
  readonly contextId: ContextId | undefined;
  readonly digest: RequestDigest;
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
  /** The turn before this one has not arrived; `base` is the best there is. */
  | { readonly kind: 'stale'; readonly base: Turn | undefined };

/**
 * Steps 3 and 4 of a turn (DESIGN §3), as a pure function of what the replica holds: replay, go, or wait. The turn
 * number alone tells whether the replica is current (paper §3.3); the context id tells which branch is meant.
 */
export function decideTurn(history: SessionHistory, claim: TurnClaim): TurnDecision {
  const answered = history
    .answering(claim.digest)
    .find((turn) => claim.contextId === undefined || turn.record.parent === claim.contextId);
  if (answered !== undefined) return { kind: 'replay', turn: answered };
  if (claim.contextId === undefined) {
    const depth = history.tip?.record.turn ?? 0;
    if (depth >= claim.turn) return { kind: 'conflict' };
    if (depth === claim.turn - 1) return { kind: 'go', base: history.tip };
    return { kind: 'stale', base: history.tip };
  }
  const base = history.get(claim.contextId);
  if (base === undefined) return { kind: 'stale', base: history.tip };
  if (base.record.turn !== claim.turn - 1) return { kind: 'mismatch', found: base.record.turn };
  return history.hasChild(base.hash) ? { kind: 'conflict' } : { kind: 'go', base };
}
