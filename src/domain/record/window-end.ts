import type { Extensions } from './extensions.ts';
import type { TurnRecord } from './turn-record.ts';

/** In the record of a turn whose reply the context window has ended, not the length that it was allowed. */
const WINDOW_END = 'discedge.window-end';

/** As a record carries it. */
export const WINDOW_END_EXTENSION: Extensions = new Map([[WINDOW_END, new Uint8Array()]]);

/** The prompt's length is in no record: what stands before a conversation at a node is not. */
export function isEndedByWindow({ extensions }: Pick<TurnRecord, 'extensions'>): boolean {
  return extensions?.has(WINDOW_END) ?? false;
}
