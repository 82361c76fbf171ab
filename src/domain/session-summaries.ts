import { beginningOf, type Summary, summaryOf } from './record/summary.ts';
import type { SessionHistory, Turn } from './session-history.ts';

/**
 * The summaries of a line of turns, the one that counts first: of most turns, then of the smallest hash. It follows from the records
 * alone, so that nodes that made several at once agree.
 */
export function summariesUpTo(history: SessionHistory, turn: Turn | undefined): Turn[] {
  const found: Turn[] = [];
  for (let at = turn; at !== undefined; at = before(history, at)) found.push(...history.summariesOf(at.hash));
  return found;
}

/** The summary that the next prompt after `base` may begin with, of more turns than up to `after`; `undefined`: none is here. */
export function summaryBeyond(history: SessionHistory, base: Turn, after: number): Summary | undefined {
  for (let at: Turn | undefined = base; at !== undefined && at.record.turn > after; at = before(history, at)) {
    const [made] = history.summariesOf(at.hash);
    const summary = made && summaryOf(made.record);
    if (summary?.through === at.record.turn) return summary;
  }
  return undefined;
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
