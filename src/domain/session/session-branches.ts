import type { ContextId } from '../identifiers.ts';
import type { SessionHistory, Turn } from './session-history.ts';

/** One branch of a session, without what it shares with the branches before it in the list. */
export interface Branch {
  readonly tip: Turn;
  /** The turn after which it goes its own way; `undefined` where it shares none, as the main line. */
  readonly partsFrom: Turn | undefined;
  /** Its own turns, oldest first: never empty. */
  readonly turns: readonly Turn[];
}

/**
 * All branches of a session, the main line first, then deepest and smallest hash first. Every turn is in exactly one of
 * them: that of the first branch it belongs to.
 */
export function branchesOf(history: SessionHistory): Branch[] {
  const listed = new Set<ContextId>();
  return history.tips().map((tip) => {
    const turns: Turn[] = [];
    let at: Turn | undefined = tip;
    while (at !== undefined && !listed.has(at.hash)) {
      turns.push(at);
      listed.add(at.hash);
      at = at.record.parent === undefined ? undefined : history.get(at.record.parent);
    }
    return { tip, partsFrom: at, turns: turns.reverse() };
  });
}
