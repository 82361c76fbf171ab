import { ANSWER_ID_BYTES, type AnswerId, answerIdFrom } from './answer-id.ts';
import type { Extensions } from './extensions.ts';
import type { TurnRecord } from './turn-record.ts';

/** On a record of its own: the answer that its owner has removed from sight. What was said after it keeps it in its context. */
const REMOVED_ANSWER = 'discedge.removed-answer';

export function removedAnswerExtension(id: AnswerId): Extensions {
  return new Map([[REMOVED_ANSWER, Uint8Array.from(Buffer.from(id, 'hex'))]]);
}

export function removedAnswerOf({ extensions }: Pick<TurnRecord, 'extensions'>): AnswerId | undefined {
  const bytes = extensions?.get(REMOVED_ANSWER);
  return bytes?.length === ANSWER_ID_BYTES ? answerIdFrom(bytes) : undefined;
}
