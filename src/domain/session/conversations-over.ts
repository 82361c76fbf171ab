import type { ContextId } from '../identifiers.ts';
import { isTimeUnsure } from '../record/unsure-time.ts';
import { Lifetimes } from '../time/lifetimes.ts';
import type { Turn } from './session-history.ts';

/**
 * Of a session whose id was used again: the turns of its living conversation, and the context ids of those that are over, which a
 * conversation is when another turn 1 was written after it had expired. `turns`: each after its parent; `openings`: the turns 1 among them.
 */
export function conversationsOver(
  turns: Iterable<Turn>,
  openings: readonly Turn[],
): { readonly living: readonly Turn[]; readonly over: ReadonlySet<ContextId> } {
  const openingOf = new Map<ContextId, Turn>();
  const expiresAtMs = new Map<Turn, number>();
  const all = [...turns];
  for (const turn of all) {
    const { parent } = turn.record;
    const opening = parent === undefined ? turn : (openingOf.get(parent) as Turn);
    openingOf.set(turn.hash, opening);
    expiresAtMs.set(opening, Math.max(expiresAtMs.get(opening) ?? 0, turn.record.expiresAtMs));
  }
  // Times that are unsure say nothing of what was before what.
  const dated = openings.filter(({ record }) => !isTimeUnsure(record));
  const isReplaced = (opening: Turn) =>
    !isTimeUnsure(opening.record) &&
    dated.some(
      ({ record: { writtenAtMs } }) =>
        writtenAtMs > opening.record.writtenAtMs &&
        Lifetimes.shared.isOver(expiresAtMs.get(opening) as number, writtenAtMs),
    );
  const replaced = new Set(openings.filter(isReplaced));
  const isOver = ({ hash }: Turn) => replaced.has(openingOf.get(hash) as Turn);
  return {
    living: all.filter((turn) => !isOver(turn)),
    over: new Set(all.filter(isOver).map(({ hash }) => hash)),
  };
}
