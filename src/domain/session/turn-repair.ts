import type { ContextId, TurnNumber } from '../identifiers.ts';
import { repairedOf } from '../record/repaired.ts';
import type { SessionHistory, Turn } from './session-history.ts';

/** A turn that its client was given and still has in words. */
export interface RememberedTurn {
  readonly turn: TurnNumber;
  /** As the node called it that answered it. */
  readonly contextId: ContextId;
  /** Of turn 1 alone. */
  readonly system?: string | undefined;
  readonly prompt: string;
  readonly reply: string;
}

export interface TurnRepair {
  /** The last of the client's turns that is here; `undefined`: none, and the first that it hands over is turn 1. */
  readonly base: Turn | undefined;
  /** Those after it, oldest first. */
  readonly lost: readonly RememberedTurn[];
}

/**
 * Which of the turns that a client hands over have to be put in the place of lost ones, and after which turn. Context ids tell
 * it exactly: nothing is guessed from numbers, of which another branch has the same. `undefined` where the turns do not reach
 * back to one that is here, nor to turn 1: then what is missing between is known to nobody.
 */
export function planRepair(history: SessionHistory, remembered: readonly RememberedTurn[]): TurnRepair | undefined {
  for (let index = remembered.length - 1; index >= 0; index--) {
    const base = history.standingFor((remembered[index] as RememberedTurn).contextId);
    if (base !== undefined) return { base, lost: remembered.slice(index + 1) };
  }
  return remembered[0]?.turn === 1 ? { base: undefined, lost: remembered } : undefined;
}

/** Why turns that are handed over with the one numbered `turn`, after `contextId`, are no repair; `undefined` when they are. */
export function rememberedFault(
  remembered: readonly RememberedTurn[],
  { turn, contextId }: { readonly turn: TurnNumber | undefined; readonly contextId: ContextId | undefined },
): string | undefined {
  const last = remembered.at(-1);
  if (turn === undefined || contextId === undefined) return 'needs turn and context_id: they tell what is lost';
  if (last?.turn !== turn - 1 || last.contextId !== contextId)
    return 'ends with the turn before this one, under the context_id that was sent';
  if (remembered.some((told, index) => told.turn !== turn - remembered.length + index))
    return 'names turns one after the other, oldest first';
  if (remembered.some((told) => told.system !== undefined && told.turn > 1))
    return 'has a system message in turn 1 alone';
  return undefined;
}

/** How many turns right before this one were told by the client, and not answered. */
export function repairedBefore(history: SessionHistory, { record }: Turn): number {
  let count = 0;
  let before = record.parent === undefined ? undefined : history.get(record.parent);
  while (before !== undefined && repairedOf(before.record) !== undefined) {
    count++;
    before = before.record.parent === undefined ? undefined : history.get(before.record.parent);
  }
  return count;
}
