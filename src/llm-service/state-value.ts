/** What is known of a session's KV state that may be kept or dropped. */
export interface ValuedState {
  /** Ids whose evaluation it spares. */
  readonly tokens: number;
  /** How often its session has come back so far. */
  readonly returns: number;
  /** Which of the turns that this service has counted used it last. */
  readonly usedAt: number;
  /** 0 to 1, that it will be wanted, where that is foreseen; of others their returns tell. */
  readonly chance?: number | undefined;
}

/**
 * How much is lost with a state: its ids × the chance that its session comes back × how recently it did. Recency is counted
 * in turns of the service, so that a quiet hour makes nothing old.
 */
export function stateValue(state: ValuedState, now: number): number {
  const { tokens, usedAt } = state;
  return (tokens * chanceOf(state)) / (1 + Math.max(0, now - usedAt));
}

/** What is foreseen; else by Laplace's rule, of a session that has come back every time so far. */
export function chanceOf({ returns, chance }: Pick<ValuedState, 'returns' | 'chance'>): number {
  return chance ?? (returns + 1) / (returns + 2);
}

/** The one of least value; `undefined` where there is none. */
export function leastValuable<T extends ValuedState>(states: Iterable<T>, now: number): T | undefined {
  let least: { readonly state: T; readonly value: number } | undefined;
  for (const state of states) {
    const value = stateValue(state, now);
    if (least === undefined || value < least.value) least = { state, value };
  }
  return least?.state;
}
