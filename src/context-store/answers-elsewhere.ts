import type { SessionKey } from '../domain/identifiers.ts';
import type { AnswerId } from '../domain/record/answer-id.ts';

/** What is wanted of an answer that is not stored: to hear of it, to have it stopped, or stopped and not told of any more. */
export const ANSWER_WISHES = ['tell', 'stop', 'forget'] as const;
export type AnswerWish = (typeof ANSWER_WISHES)[number];

/** An answer that a node may be working on, or may have ended without a record. */
export interface AnswerQuestion {
  readonly key: SessionKey;
  readonly answerId: AnswerId;
  readonly wish: AnswerWish;
}

/** How nodes ask each other about answers that have no record yet, whatever carries it. */
export interface AnswersElsewhere {
  /**
   * What the node tells that knows of it; `undefined` where none does that can be reached. Bounded by what peers take to answer,
   * and a second or so beyond. Never rejects.
   */
  ask(question: AnswerQuestion): Promise<Uint8Array | undefined>;
  /** What others hear when they ask this node; before that, nothing. At most {@link ANSWER_TOLD_BYTES_MAX}. */
  serve(tell: (question: AnswerQuestion) => Promise<Uint8Array | undefined>): void;
}

/** Far below what a message between nodes may carry. */
export const ANSWER_TOLD_BYTES_MAX = 256 * 1024;
