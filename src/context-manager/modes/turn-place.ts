import type { TokenSequence } from '../../domain/token-sequence.ts';

/** Where a turn stands in the ids of a context. */
export interface Place {
  /** The first of its own ids; behind the end of the reply before it where that is not there. */
  readonly start: number;
  /** How many ids from there on end the reply before it; in the first turn they are not there. */
  readonly leadLength: number;
  /** Where its messages end and its reply begins, with the generation prompt before it. */
  readonly replyStart: number;
}

/** What {@link TokenContext.settle} has written over: the ids from one place on, and the places of the turns in them. */
export interface Unsettled {
  readonly base: number;
  readonly ids: TokenSequence;
  readonly first: number;
  readonly places: readonly Place[];
  readonly preamble: TokenSequence;
  readonly sharedEnd: TokenSequence;
}
