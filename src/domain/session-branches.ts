import type { ContextId } from './identifiers.ts';
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
    const line = history.line(tip);
    const own = line.findIndex(({ hash }) => !listed.has(hash));
    const turns = line.slice(own);
    for (const { hash } of turns) listed.add(hash);
    return { tip, partsFrom: line[own - 1], turns };
  });
}
