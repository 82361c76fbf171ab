import {
  beginningOf,
  type ContextBeginning,
  droppedTurns,
  type Summary,
  summaryOf,
  summaryPlaceOf,
} from './record/summary.ts';
import type { SessionHistory, Turn } from './session-history.ts';

/**
 * The summaries of a line of turns, the one that counts first: up to the latest turn, then the one that lacks fewest, then of the
 * smallest hash. It follows from the records alone, so that nodes that made several at once agree.
 */
export function summariesUpTo(history: SessionHistory, turn: Turn | undefined): Turn[] {
  const found: Turn[] = [];
  for (let at = turn; at !== undefined; at = before(history, at)) found.push(...history.summariesOf(at.hash));
  return found;
}

/**
 * The summary that the next prompt after `base` may begin with in place of turns that it would have word for word; `undefined`: none is
 * here. None that lacks more turns than the context does already: another branch may have dropped what this one has not.
 */
export function summaryBeyond(
  history: SessionHistory,
  base: Turn,
  begins: ContextBeginning = { contextStart: base.record.contextStart, summary: beginningAt(history, base) },
): Summary | undefined {
  const absentMax = droppedTurns(begins);
  for (let at: Turn | undefined = base; at && at.record.turn >= begins.contextStart; at = before(history, at)) {
    const made = madeOf(history, at, absentMax);
    if (made !== undefined) return summaryOf(made.record);
  }
  return undefined;
}

/** The summary of just the context that ends in `turn`, as its record; `undefined` where none is of all that the model read there. */
export function summaryOfAll(history: SessionHistory, turn: Turn): Turn | undefined {
  const { contextStart } = turn.record;
  return madeOf(history, turn, droppedTurns({ contextStart, summary: beginningAt(history, turn) }));
}

function madeOf(history: SessionHistory, { hash, record }: Turn, absentMax: number): Turn | undefined {
  return history.summariesOf(hash).find((made) => {
    const place = summaryPlaceOf(made.record);
    return place?.through === record.turn && place.absent <= absentMax;
  });
}

/** What a turn's prompt began with in place of its oldest turns. Looks back to the turn that first did so. */
export function beginningAt(history: SessionHistory, turn: Turn | undefined): Summary | undefined {
  for (let at = turn; at !== undefined && at.record.contextStart > 1; at = before(history, at)) {
    const summary = beginningOf(at.record);
    if (summary !== undefined) return summary;
  }
  return undefined;
}

function before(history: SessionHistory, { record }: Turn): Turn | undefined {
  return record.parent === undefined ? undefined : history.get(record.parent);
}
