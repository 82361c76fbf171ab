import type { TurnNumber } from '../identifiers.ts';
import {
  beginningOf,
  type ContextBeginning,
  droppedTurns,
  type Summary,
  summaryOf,
  summaryPlaceOf,
} from '../record/summary.ts';
import type { SessionHistory, Turn } from './session-history.ts';

/**
 * The summaries of a line of turns, the one that counts first: up to the latest turn, then the one that lacks fewest, then of the
 * smallest hash. It follows from the records alone, so that nodes that made several at once agree.
 */
export function summariesUpTo(history: SessionHistory, turn: Turn | undefined): Turn[] {
  const found: Turn[] = [];
  for (const { hash } of backFrom(history, turn)) found.push(...history.summariesOf(hash));
  return found;
}

/**
 * The summary that the next prompt after `base` may begin with in place of turns that it would have word for word; `undefined`: none is
 * here. None that lacks more turns than the context does already: another branch may have dropped what this one has not.
 */
export function summaryBeyond(
  history: SessionHistory,
  base: Turn,
  begins: ContextBeginning = beginningAt(history, base),
): Summary | undefined {
  const absentMax = droppedTurns(begins);
  for (const at of backFrom(history, base)) {
    if (at.record.turn < begins.contextStart) return undefined;
    const made = madeOf(history, at, absentMax);
    if (made !== undefined) return summaryOf(made.record);
  }
  return undefined;
}

/** The summary of just the context that ends in `turn`, as its record; `undefined` where none is of all that the model read there. */
export function summaryOfAll(history: SessionHistory, turn: Turn): Turn | undefined {
  return madeOf(history, turn, droppedTurns(beginningAt(history, turn)));
}

function madeOf(history: SessionHistory, { hash, record }: Turn, absentMax: number): Turn | undefined {
  return history.summariesOf(hash).find((made) => {
    const place = summaryPlaceOf(made.record);
    return place?.through === record.turn && place.absent <= absentMax;
  });
}

/** How the prompt of the turn after `turn` begins: as that of `turn` did. */
export function beginningAt(history: SessionHistory, turn: Turn | undefined): ContextBeginning<Summary> {
  return contextBeginning(backFrom(history, turn));
}

/** The same for a line of turns, the last one first; read up to the turn whose prompt was the first to begin so. */
export function contextBeginning(back: Iterable<Turn>): ContextBeginning<Summary> {
  let contextStart: TurnNumber | undefined;
  for (const { record } of back) {
    contextStart ??= record.contextStart;
    if (record.contextStart === 1) break;
    const summary = beginningOf(record);
    if (summary !== undefined) return { contextStart, summary };
  }
  return { contextStart: contextStart ?? (1 as TurnNumber), summary: undefined };
}

function* backFrom(history: SessionHistory, turn: Turn | undefined): Generator<Turn> {
  for (let at = turn; at !== undefined; at = at.record.parent === undefined ? undefined : history.get(at.record.parent))
    yield at;
}

/** How a context begins with a summary, and behind it the turns that it does not stand for. */
export function beginningBehind(summary: Summary): ContextBeginning<Summary> {
  return { contextStart: (summary.through + 1) as TurnNumber, summary };
}
