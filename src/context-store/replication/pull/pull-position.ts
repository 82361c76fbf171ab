import type { LogCursor } from '../../leveldb/log/origin-log.ts';

/** Where a record that arrived stands: in its origin's log and in the stream that carried it. */
export interface Delivered {
  readonly sequence: number;
  readonly streamSequence: number;
}

/**
 * What to do with a record that a stream delivers, given how far its log is settled here. Records between the cursor and
 * a `skipped` one may be gone, or may never have reached the stream: their origin knows.
 */
export type PullStep = 'known' | 'next' | 'skipped';

export function pullStep(cursor: LogCursor, { sequence }: Delivered): PullStep {
  if (sequence <= cursor.sequence) return 'known';
  return sequence === cursor.sequence + 1 ? 'next' : 'skipped';
}

/** The cursor once the record is taken in, refused, or known already. */
export function afterDelivery(cursor: LogCursor, { sequence, streamSequence }: Delivered): LogCursor {
  return { sequence: Math.max(cursor.sequence, sequence), streamSequence };
}

/**
 * The cursor once everything up to `sequence` was settled by other ways than the stream. The stream's position moves
 * along: a guess, because a recreated stream lacks what was gone by then. A guess too low delivers known records, one too
 * high skips some, which shows as `skipped`, or in a stream with nothing to deliver.
 */
export function afterBackFill(cursor: LogCursor, sequence: number): LogCursor {
  if (sequence <= cursor.sequence) return cursor;
  return { sequence, streamSequence: cursor.streamSequence + (sequence - cursor.sequence) };
}

/**
 * How far the log is settled when records up to `through` were taken in, of those that `held` lists (in order). The origin
 * itself knows that what it does not list is gone; another holder may lack what it has lost or not got yet.
 */
export function settledThrough(
  cursor: LogCursor,
  { held, through, isOrigin }: { held: readonly number[]; through: number; isOrigin: boolean },
): number {
  if (isOrigin) return Math.max(cursor.sequence, through);
  let { sequence } = cursor;
  for (const next of held) {
    if (next > through || next > sequence + 1) break;
    sequence = Math.max(sequence, next);
  }
  return sequence;
}

/** Whether the stream has nothing more to deliver and the origin yet knows of later records. */
export function isBehind(cursor: LogCursor, { pending, last }: { pending: number; last: number }): boolean {
  return pending === 0 && last > cursor.sequence;
}

/** Tells when a cursor stands still behind what its origin says to have published, twice in a row. */
export class StallWatch {
  #behindAt: number | undefined;

  isStalled({ sequence }: LogCursor, published: number): boolean {
    const isBehind = published > sequence;
    const isStalled = isBehind && this.#behindAt === sequence;
    this.#behindAt = isBehind && !isStalled ? sequence : undefined;
    return isStalled;
  }
}
