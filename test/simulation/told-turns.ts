import type { ContextId } from '../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import { repairedOf } from '../../src/domain/record/repaired.ts';
import type { RememberedTurn } from '../../src/domain/session/turn-repair.ts';

/**
 * The first turn, from the end, that is not part of the line that a client goes on from, as it was answered or in a turn that
 * stands for it; `undefined` when all are.
 */
export function missingFromLine(
  told: readonly RememberedTurn[],
  held: ReadonlyMap<ContextId, SealedRecord>,
): number | undefined {
  let hash = told.at(-1)?.contextId;
  for (const { turn, contextId } of told.toReversed()) {
    const record = hash === undefined ? undefined : held.get(hash)?.record;
    const isIt = record?.kind === 'turn' && (hash === contextId || repairedOf(record) === contextId);
    if (!isIt || record.turn !== turn) return turn;
    hash = record.parent;
  }
  return hash === undefined ? undefined : 0;
}
