import { DiscedgeError } from '../../../domain/errors.ts';
import type { SealedRecord } from '../../../domain/record/record-codec.ts';
import type { SessionChanges } from '../session-changes.ts';
import type { LogPosition } from './origin-log.ts';

/** When a session was last used that nobody has used. */
export const NEVER_MS = 0;

/** One after the other: most are of sessions that are loaded already. */
export async function loadAll(
  changes: SessionChanges,
  records: readonly { readonly sealed: SealedRecord }[],
): Promise<void> {
  for (const { sealed } of records) await changes.loadFor(sealed);
}

/** A late turn of a deleted session, or of one that was erased, is left out. */
export function appendUnlessLate(
  changes: SessionChanges,
  sealed: SealedRecord,
  usedAtMs: number,
  position?: LogPosition,
): void {
  try {
    changes.append(sealed, usedAtMs, position);
  } catch (error) {
    if (!(error instanceof DiscedgeError && error.code === 'session_deleted')) throw error;
  }
}
