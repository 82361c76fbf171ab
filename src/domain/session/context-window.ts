/** What to do when context and message exceed the context window. */
export const OVERFLOW_POLICIES = ['error', 'drop-oldest', 'summarize', 'retrieve'] as const;
export type OverflowPolicy = (typeof OVERFLOW_POLICIES)[number];

/** The sizes, in ids, that decide whether and where a context must be cut. */
export interface WindowPlan {
  readonly windowTokens: number;
  /** Kept free for the reply. */
  readonly replyTokens: number;
  /** BOS and system message: survives a cut. */
  readonly preambleTokens: number;
  /** The earlier turns now in the context, oldest first: prompt segment and reply, as many ids as they take there. */
  readonly turnTokens: readonly number[];
  /** The new turn's segment. */
  readonly newTokens: number;
}

/** Ids kept free for a reply: what was asked for, but never more than a quarter of the window. */
export function replyReserve(windowTokens: number, maxTokens: number | undefined): number {
  return Math.max(1, Math.min(maxTokens ?? windowTokens, Math.floor(windowTokens / 4)));
}

/**
 * How many of the oldest turns to leave out so that the rest fits in about half the window: each cut costs the KV
 * prefix once, so it is made large and seldom. `undefined` when even the new turn alone does not fit.
 */
export function turnsToDrop(plan: WindowPlan): number | undefined {
  const budget = plan.windowTokens - plan.replyTokens;
  let kept = plan.preambleTokens + plan.newTokens;
  if (kept > budget) return undefined;
  const target = Math.min(budget, Math.floor(plan.windowTokens / 2));
  let index = plan.turnTokens.length;
  while (index > 0 && kept + (plan.turnTokens[index - 1] as number) <= target) {
    index--;
    kept += plan.turnTokens[index] as number;
  }
  return index;
}
